"""The operators whose keys are on this host, seated or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import click

from dragon.encoding import to_hex
from dragon.protocol.committee import Committee
from dragon.storage import keystore
from dragon_cli.errors import NotAMember
from dragon_cli.fleet import home_operators
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.settings import environment, merged
from dragon_cli.hints import with_hint
from dragon_cli.keystores import Sheet

KEY_HINT: Final = "`--home` selects the folder with the keys; `dragon key new` makes a key."
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
        stated = self._stated()
        if listed is None or not all(stated) or to_hex(listed.raw) in stated:
            return
        message = f"The committee lists a key for {self.id} that is in none of its keystores."
        hint = (
            "Get the key of the member file to this host (OPERATOR_NEXT_KEYSTORE), or have the "
            "committee assembled again with the right member file."
        )
        raise with_hint(NotAMember(message, id=self.id), hint)

    def has_next_key_in(self, committee: Committee) -> bool:
        """Return whether a committee lists the next key of this operator, not the present one."""
        listed = committee.keys.get(self.id)
        return listed is not None and to_hex(listed.raw) in self._stated()[1:]

    def _stated(self) -> list[str]:
        """Return the public keys that the keystores state; empty texts if they state none."""
        return [Sheet.read(keystore.read_private(each)).public_key for each in self.keystores]


def all_of(home: Home) -> list[OwnOperator]:
    """Return all operators of a home. Raises NotAMember: it has none."""
    found = [OwnOperator.of(home, name, {}) for name in home_operators.urls(home, home.committee())]
    if not found:
        raise with_hint(NotAMember(f"No operator has its keystore in {home.keys}."), KEY_HINT)
    return found


def chosen(home: Home, environ: Mapping[str, str], name: str | None) -> OwnOperator:
    """Return the operator with this id; without one that of the settings, or the home's only one.

    Raises NotAMember: there is none; UsageError: there are several.
    """
    if named := name or environ.get("OPERATOR_ID"):
        operator = OwnOperator.of(home, named, environ)
        if not any(each.exists() for each in operator.keystores):
            message = f"{named} has no keystore on this host: {operator.keystores[0]} is missing."
            raise with_hint(NotAMember(message, id=named), KEY_HINT)
        return operator
    found = all_of(home)
    if len(found) > 1:
        ids = ", ".join(each.id for each in found)
        raise click.UsageError(
            f"{home.path} has the keys of {ids}: name one with `--operator`, or give `--all`."
        )
    return found[0]
