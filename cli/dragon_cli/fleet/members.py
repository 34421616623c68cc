"""Make the key of a member, and the file by which the others list it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dragon.encoding import to_hex
from dragon.errors import SettingsError
from dragon.protocol.member import Member, Role
from dragon.storage import keystore
from dragon.storage.permissions import PRIVATE_FOLDER, PUBLIC_FOLDER, make_folder
from dragon_cli.errors import AlreadyThere, NotAMember
from dragon_cli.files import PUBLIC_MODE, write_whole
from dragon_cli.fleet.data_services import new_keystore
from dragon_cli.fleet.layout import Home, is_reserved
from dragon_cli.hints import with_hint
from dragon_cli.keystores import Sheet

ROTATE_HINT: Final = "`--rotate` makes the next key of an id."
UNUSED_HINT: Final = (
    "Use that key: the committee of this home does not list it yet. `dragon committee update` "
    "learns whether it has changed."
)
ID_CHARACTERS: Final = 10  # of a former key, in the name of its folder
FILES: Final = ("keystore.json", "password", "member.json")


@dataclass(frozen=True, slots=True)
class NewMember:
    """A member whose file was written, and its files."""

    member: Member
    file: Path
    keystore: Path


def new_member(
    home: Home, role: Role, member_id: str, url: str | None, *, rotate: bool = False
) -> NewMember:
    """Make a key and its member file in a home.

    Args:
        rotate: make the next key of this id, in a folder of its own beside the present one. A
            former next key that the home's committee lists by now becomes the present one first.

    Raises:
        SettingsError: a service has a folder of this name.
        InvalidEncoding: the id or the URL is not acceptable; nothing is left.
        AlreadyThere: there is such a key already; no key is overwritten.
    """
    Member.check(role, member_id, url)
    if is_reserved(member_id):
        message = f"The id {member_id} is the name of a service's folder in {home.keys}."
        raise with_hint(SettingsError(message), "Choose another id.")
    if rotate:
        _finish_rotation(home, member_id)
    name = home.next_key(member_id) if rotate else member_id
    if home.keystore(name).exists():
        message = f"{home.keystore(name)} already exists; a key is never overwritten."
        raise with_hint(AlreadyThere(message), UNUSED_HINT if rotate else ROTATE_HINT)
    make_folder(home.path, PUBLIC_FOLDER)
    make_folder(home.keys, PRIVATE_FOLDER)
    return _write(home, name, Member.sign(role, member_id, url, new_keystore(home, name)))


def moved_member(home: Home, member_id: str, url: str) -> NewMember:
    """Write the member file of an operator anew, with its present key and another URL.

    Raises:
        InvalidEncoding: the URL is not acceptable.
        NotAMember: the operator has no key in this home.
        KeystoreError: its keystore cannot be opened.
    """
    Member.check(Role.OPERATOR, member_id, url)
    if not home.keystore(member_id).exists():
        message = f"{home.keystore(member_id)} does not exist."
        raise with_hint(NotAMember(message, id=member_id), "`dragon key new` makes a key.")
    secret = keystore.load(home.keystore(member_id), home.password(member_id))
    return _write(home, member_id, Member.sign(Role.OPERATOR, member_id, url, secret))


def _write(home: Home, name: str, member: Member) -> NewMember:
    file = home.keystore(name).with_name("member.json")
    write_whole(file, json.dumps(member.to_json(), indent=2) + "\n", mode=PUBLIC_MODE)
    return NewMember(member, file, home.keystore(name))


def _finish_rotation(home: Home, member_id: str) -> None:
    """Put the next key in the place of the present one, if the home's committee lists it.

    The former key is kept in a folder of its own. A service that is running has read its keys.
    """
    following = home.keystore(home.next_key(member_id))
    if not (following.exists() and home.committee_file.exists()):
        return
    key = Sheet.read(keystore.read_private(following)).public_key
    committee = home.committee()
    listed = {each.id: each.public_key for each in committee.keyed}.get(member_id)
    if listed is None or to_hex(listed.raw) != key:
        return
    folder = home.keystore(member_id).parent
    if home.keystore(member_id).exists():
        former = Sheet.read(keystore.read_private(home.keystore(member_id))).public_key
        kept = folder / f"former-{former[2 : 2 + ID_CHARACTERS]}"
        make_folder(kept, PRIVATE_FOLDER)
        _move(folder, kept)
    _move(following.parent, folder)


def _move(source: Path, target: Path) -> None:
    for file in FILES:
        if (source / file).exists():
            (source / file).replace(target / file)
