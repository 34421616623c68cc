"""Make the key of a member, and the file by which the others list it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dragon.errors import SettingsError
from dragon.protocol.member import Member, Role
from dragon.storage.permissions import PRIVATE_FOLDER, PUBLIC_FOLDER, make_folder
from dragon_cli.errors import AlreadyThere
from dragon_cli.files import PUBLIC_MODE, write_whole
from dragon_cli.fleet.data_services import new_keystore
from dragon_cli.fleet.layout import Home, is_reserved
from dragon_cli.hints import with_hint


@dataclass(frozen=True, slots=True)
class NewMember:
    """A member with a new key, and its files."""

    member: Member
    file: Path
    keystore: Path


def new_member(
    home: Home, role: Role, member_id: str, url: str | None, *, rotate: bool = False
) -> NewMember:
    """Make a key and its member file in a home.

    Args:
        rotate: make the next key of this id, in a folder of its own beside the present one.

    Raises:
        SettingsError: a service has a folder of this name.
        InvalidEncoding: the id or the URL is not acceptable; nothing is left.
        AlreadyThere: there is such a key already; no key is overwritten.
    """
    Member.check(role, member_id, url)
    if is_reserved(member_id):
        message = f"The id {member_id} is the name of a service's folder in {home.keys}."
        raise with_hint(SettingsError(message), "Choose another id.")
    name = home.next_key(member_id) if rotate else member_id
    if home.keystore(name).exists():
        message = f"{home.keystore(name)} already exists; a key is never overwritten."
        raise with_hint(AlreadyThere(message), "`--rotate` makes the next key of an id.")
    make_folder(home.path, PUBLIC_FOLDER)
    make_folder(home.keys, PRIVATE_FOLDER)
    secret = new_keystore(home, name)
    member = Member.sign(role, member_id, url, secret)
    file = home.keystore(name).with_name("member.json")
    write_whole(file, json.dumps(member.to_json(), indent=2) + "\n", mode=PUBLIC_MODE)
    return NewMember(member, file, home.keystore(name))
