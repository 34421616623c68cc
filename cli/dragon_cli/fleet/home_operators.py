"""The URLs of the operators whose keys are in a home, seated or not."""

from __future__ import annotations

from dragon.encoding import parse
from dragon.errors import DragonError
from dragon.protocol.committee import Committee
from dragon.protocol.member import MAX_FILE_BYTES, Member, Role
from dragon_cli.files import read_bytes
from dragon_cli.fleet.layout import Home, is_reserved


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
