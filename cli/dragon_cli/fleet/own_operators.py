"""The operators whose keys are on this host, seated or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import click

from dragon.encoding import parse, to_hex
from dragon.errors import DragonError
from dragon.protocol.committee import Committee
from dragon.protocol.member import MAX_FILE_BYTES, Member, Role
from dragon.storage import keystore
from dragon_cli.errors import NotAMember
from dragon_cli.files import read_bytes
from dragon_cli.fleet.layout import Home, is_reserved
from dragon_cli.fleet.settings import environment, merged
from dragon_cli.hints import with_hint
from dragon_cli.keystores import Sheet

_KEYSTORES: Final = ("OPERATOR_KEYSTORE", "OPERATOR_NEXT_KEYSTORE")


@dataclass(frozen=True, slots=True)
class OwnOperator:
    """An operator of this host, and its files."""

    id: str
    database: Path
    keystores: tuple[Path, ...]  # of the present key, and of the next one while it is rotated

    @classmethod
    def of(cls, home: Home, name: str, environ: Mapping[str, str]) -> Self:
        """Return an operator with the files of a home, or those that its own settings name."""
        settings = environment(home, name, host="", port=0)
        if environ.get("OPERATOR_ID") == name:
            settings = merged(environ, settings)
        keystores = tuple(Path(settings[each]) for each in _KEYSTORES if each in settings)
        return cls(name, Path(settings["OPERATOR_DATABASE"]), keystores)

    def check_seat(self, committee: Committee) -> None:
        """Check that a committee lists no key for this id that is not on this host.

        Raises NotAMember.
        """
        listed = committee.keys.get(self.id)
        stated = [Sheet.read(keystore.read_private(each)).public_key for each in self.keystores]
        if listed is None or not all(stated) or to_hex(listed.raw) in stated:
            return
        message = f"The committee lists a key for {self.id} that is in none of its keystores."
        hint = (
            "Get the key of the member file to this host (OPERATOR_NEXT_KEYSTORE), or have the "
            "committee assembled again with the right member file."
        )
        raise with_hint(NotAMember(message, id=self.id), hint)


def urls(home: Home, committee: Committee) -> dict[str, str]:
    """Return the URL of every operator that has a keystore in a home, by id, the seated ones first.

    It is the one that the committee lists, else the one in the member file.
    """
    found = {name: committee.urls[name] for name in committee.keys if home.has_key(name)}
    for path in sorted(home.keys.glob("*/keystore.json")):
        name = path.parent.name
        if name not in committee.keys and not is_reserved(name) and (url := member_url(home, name)):
            found[name] = url
    return found


def member_url(home: Home, name: str) -> str | None:
    """Return the URL in an operator's member file; None if there is no such file."""
    path = home.keystore(name).with_name("member.json")
    try:
        member = Member.from_json(parse(read_bytes(path, most=MAX_FILE_BYTES)))
    except DragonError:
        return None
    return member.url if member.role is Role.OPERATOR else None


def all_of(home: Home) -> list[OwnOperator]:
    """Return all operators of a home. Raises NotAMember: it has none."""
    found = [OwnOperator.of(home, name, {}) for name in urls(home, home.committee())]
    if not found:
        raise NotAMember(f"No operator has its keystore in {home.keys}.")
    return found


def chosen(home: Home, environ: Mapping[str, str], name: str | None) -> OwnOperator:
    """Return the operator with this id; without one that of the settings, or the home's only one.

    Raises NotAMember: there is none; UsageError: there are several.
    """
    if named := name or environ.get("OPERATOR_ID"):
        operator = OwnOperator.of(home, named, environ)
        if not any(each.exists() for each in operator.keystores):
            message = f"{named} has no keystore on this host: {operator.keystores[0]} is missing."
            raise NotAMember(message, id=named)
        return operator
    found = all_of(home)
    if len(found) > 1:
        ids = ", ".join(each.id for each in found)
        raise click.UsageError(
            f"{home.path} has the keys of {ids}: name one with `--operator`, or give `--all`."
        )
    return found[0]
