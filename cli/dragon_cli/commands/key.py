"""`dragon key`: make, show and verify keys. Secret keys are never printed."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dragon.encoding import Json, to_hex
from dragon.protocol.member import Role
from dragon.storage import keystore
from dragon_cli.command_line import command_of
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.fleet import data_services, home_operators
from dragon_cli.fleet.layout import SOURCES, Home, load_committee
from dragon_cli.fleet.members import NewMember, moved_member, new_member
from dragon_cli.keystores import Sheet, find, unlock
from dragon_cli.options import EXISTING_FILE, NEW_FILE, home_option, json_option
from dragon_cli.render.output import console, plain, print_verified
from dragon_cli.render.text import print_json

keystore_argument = click.argument("keystore_file", metavar="KEYSTORE", type=EXISTING_FILE)


@click.group()
def key() -> None:
    """Make, show and verify keys; the secret key is never printed."""


@key.command(short_help="Make a key, and the member file by which others list it.")
@click.argument("member_id", metavar="ID")
@click.argument("url", required=False)
@home_option
@click.option("--expert", is_flag=True, help="Make the key of an expert, who has no URL.")
@click.option(
    "--owner", is_flag=True, help="Make the key of an owner, who announces targets' maintenance."
)
@click.option("--heartbeat", is_flag=True, help="Make the key with which a target signs beats.")
@click.option(
    "--rotate", is_flag=True, help="Make the next key of ID; the present one stays beside it."
)
@json_option
def new(
    member_id: str,
    url: str | None,
    home: Path,
    expert: bool,
    owner: bool,
    heartbeat: bool,
    rotate: bool,
    as_json: bool,
) -> None:
    """Make a key for ID, and the member file by which the others list it.

    URL is where an operator is reached; with `--rotate` it stays the same unless it is given. Only
    the member file leaves this host: send it to the person who assembles the committee.
    """
    fleet, role = Home(home), _role(expert=expert, owner=owner, heartbeat=heartbeat)
    if rotate and url is None and role is Role.OPERATOR:
        url = _present_url(fleet, member_id)
    if (role is Role.OPERATOR) is (url is None):
        raise click.UsageError("An operator needs a URL, and the other roles have none.")
    made = new_member(fleet, role, member_id, url, rotate=rotate)
    if url and _needs_certificate(fleet, member_id, url):
        # Imported here because no other key needs the library that it loads.
        from dragon_cli.fleet import certificates  # noqa: PLC0415

        certificates.certify(fleet, member_id, url, now=int(time.time()))
    if as_json:
        print_json(_facts(made))
        return
    console.print(f"Key of {role} {member_id}: {plain(str(made.keystore))}. Keep it on this host.")
    console.print(f"Send {plain(str(made.file))} to the person who assembles the committee.")
    if role is not Role.OPERATOR or not fleet.committee_file.exists():
        return
    if rotate:
        console.print(
            f"Restart {member_id} now: it needs both keys, and signs with the one that the "
            "committee lists."
        )
    elif member_id not in fleet.committee().keys:
        command = command_of("serve", "operator", "--id", member_id, "--home", home)
        console.print(
            f"`{plain(command)}` starts it: it follows the log, and signs nothing until a "
            "committee lists it."
        )


def _role(*, expert: bool, owner: bool, heartbeat: bool) -> Role:
    """Return the role that the options name. Raises UsageError: they name several."""
    named = {Role.EXPERT: expert, Role.OWNER: owner, Role.TARGET: heartbeat}
    chosen = [role for role, is_named in named.items() if is_named]
    if len(chosen) > 1:
        raise click.UsageError("Use only one of --expert, --owner and --heartbeat.")
    return chosen[0] if chosen else Role.OPERATOR


def _needs_certificate(home: Home, member_id: str, url: str) -> bool:
    """Return whether the authority of this home is to sign the operator's TLS certificate."""
    has_authority = home.authority_key.exists() and home.authority_file.exists()
    return url.startswith("https:") and has_authority and not home.tls_key(member_id).exists()


def _present_url(home: Home, member_id: str) -> str | None:
    """Return the URL of an operator as the home's committee or its member file states it."""
    if home.committee_file.exists() and (url := home.committee().urls.get(member_id)):
        return url
    return home_operators.member_url(home, member_id)


@key.command(short_help="Write an operator's member file for another URL.")
@click.argument("member_id", metavar="ID")
@click.argument("url")
@home_option
@json_option
def move(member_id: str, url: str, home: Path, as_json: bool) -> None:
    """Write the member file of operator ID for another URL; its key stays.

    Send the file to the person who assembles the committee. The operator has to answer at both URLs
    until the committees have handed over.
    """
    made = moved_member(Home(home), member_id, url)
    if as_json:
        print_json(_facts(made))
        return
    console.print(f"Send {plain(str(made.file))} to the person who assembles the committee.")


def _facts(made: NewMember) -> dict[str, Json]:
    return {
        "file": str(made.file),
        "keystore": str(made.keystore),
        "id": made.member.id,
        "role": str(made.member.role),
        "public_key": to_hex(made.member.public_key.raw),
    }


@key.command("stream-service", short_help="Make the keys of a stream service and prover.")
@home_option
@json_option
def stream_service(home: Path, as_json: bool) -> None:
    """Make the keys and tokens of a stream service and its prover; existing ones stay.

    No committee lists them. `keys/sources/token` allows its holder to create streams.
    """
    folders = [str(folder) for folder in data_services.make_keys(Home(home))]
    token = str(Home(home).token(SOURCES))
    if as_json:
        print_json({"folders": folders, "sources_token": token})
        return
    console.print(f"Keys of stream service and prover: {plain(', '.join(folders))}.")
    console.print(f"Give {plain(token)} to those who may create streams.")


@key.command(short_help="Show what KEYSTORE states; verifies nothing.")
@keystore_argument
@json_option
def show(keystore_file: Path, as_json: bool) -> None:
    """Show what KEYSTORE states; needs no password and verifies nothing."""
    text = keystore.read_private(keystore_file)
    with reading(keystore_file, text.encode(), FileKind.KEYSTORE):
        sheet = Sheet.read(text)
    shown = {
        "public_key": sheet.public_key,
        "path": sheet.path,
        "description": sheet.description,
        "version": sheet.version,
        "kdf": sheet.kdf,
    }
    if as_json:
        print_json(shown)
        return
    for name, value in shown.items():
        console.print(f"{name.replace('_', ' '):12} {plain(str(value)) or '–'}")


@key.command(short_help="Open KEYSTORE, and verify that it holds its key.")
@keystore_argument
@click.option(
    "--password-file",
    type=EXISTING_FILE,
    required=True,
    help="File that contains the password of the keystore.",
)
@click.option(
    "--committee",
    "committee_file",
    type=NEW_FILE,
    help="Committee file in which to find the owner of the key.",
)
@json_option
def verify(
    keystore_file: Path, password_file: Path, committee_file: Path | None, as_json: bool
) -> None:
    """Open KEYSTORE and verify that it holds the key that it states."""
    committee = load_committee(committee_file) if committee_file else None
    found = unlock(keystore_file, password_file).public_key()
    role, member = find(found, committee) if committee else ("", "")
    if as_json:
        owner = {"role": role, "id": member} if committee else {}
        print_json({"verdict": "verified", "public_key": to_hex(found.raw), **owner})
        return
    print_verified(f"the keystore holds the key {to_hex(found.raw)}")
    if committee:
        console.print(
            f"The key belongs to {role} {member} of the committee {plain(committee.name)}."
        )
