"""`dragon committee check`: whether a committee file says what its members said."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.encoding import to_hex
from dragon.errors import InvalidCommittee
from dragon.protocol.committee import Committee, short_id
from dragon.protocol.member import Member
from dragon.storage import keystore
from dragon_cli.committee_files import read_committee, read_members
from dragon_cli.errors import NotAMember
from dragon_cli.keystores import Sheet
from dragon_cli.options import EXISTING_FILE, file_argument, json_option
from dragon_cli.render.output import console, plain, print_verified
from dragon_cli.render.proposals import private_targets
from dragon_cli.render.text import print_json


@click.command(short_help="Compare a committee file with member files and the own key.")
@file_argument
@click.argument("members", nargs=-1, type=EXISTING_FILE)
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder whose keystores must belong to members of the committee.",
)
@json_option
def check(file: Path, members: tuple[Path, ...], home: Path | None, as_json: bool) -> None:
    """Check that the committee in FILE lists each of MEMBERS as its own file says.

    The file itself is checked completely. Compare the short id with the other members by voice.
    """
    committee, given = read_committee(file), read_members(members)
    for member in given:
        _check_listed(committee, member)
    own = _own(committee, home) if home else []
    if as_json:
        listed = [member.id for member in given]
        ids = {"id": to_hex(committee.id), "short_id": short_id(committee.id)}
        private = private_targets(committee)
        print_json(
            {"verdict": "verified", **ids, "members": listed, "own": own, "private": private}
        )
        return
    said = f"{len(given)} member files agree with it" if given else "it is well-formed"
    print_verified(f"the committee file is valid, and {said}")
    for member_id in own:
        console.print(f"This home has the key of {member_id}.")
    for target in private_targets(committee):
        console.print(f"Operators may connect to their own private networks for {plain(target)}.")
    console.print(f"Compare the short id by voice: {short_id(committee.id)}", highlight=False)


def _check_listed(committee: Committee, member: Member) -> None:
    everyone = {each.id: each for each in committee.keyed}
    if (listed := everyone.get(member.id)) is None:
        raise NotAMember(f"The committee does not list {member.id}.", id=member.id)
    if listed != member.listed():
        message = f"the committee lists {member.id} with another key, URL or role"
        raise InvalidCommittee(message, id=member.id)


def _own(committee: Committee, home: Path) -> list[str]:
    """Return the ids of the members whose keystores are in a home. Raises NotAMember."""
    owners = {to_hex(each.public_key.raw): each.id for each in committee.keyed}
    found = []
    for path in sorted((home / "keys").glob("*/*keystore.json")):
        key = Sheet.read(keystore.read_private(path)).public_key
        if key in owners:
            found.append(owners[key])
    if not found:
        raise NotAMember(f"No keystore in {home} belongs to a member of the committee.")
    return found
