"""`dragon key`: show and verify keystores. Secret keys are never printed."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.encoding import to_hex
from dragon.storage import keystore
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.fleet.layout import load_committee
from dragon_cli.keystores import Sheet, find, unlock
from dragon_cli.options import EXISTING_FILE, NEW_FILE, json_option
from dragon_cli.render.output import console, plain, print_verified
from dragon_cli.render.text import print_json

keystore_argument = click.argument("keystore_file", metavar="KEYSTORE", type=EXISTING_FILE)


@click.group()
def key() -> None:
    """Show and verify keystores; the secret key is never printed."""


@key.command()
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


@key.command()
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
