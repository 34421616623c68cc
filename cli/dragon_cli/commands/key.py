"""`dragon key`: what a keystore is, and whether it is right. The secret is never shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from dragon.encoding import Json, Members, from_hex, parse, to_hex
from dragon.errors import KeystoreError, NotEnoughMemory
from dragon.protocol import bls
from dragon.protocol.committee import Committee
from dragon.storage import keystore
from dragon_cli.errors import KeystoreRefused, NotAMember
from dragon_cli.fleet.layout import load_committee
from dragon_cli.options import json_option
from dragon_cli.render.output import console, plain, print_json

keystore_argument = click.argument(
    "keystore_file",
    metavar="KEYSTORE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a keystore says without its password. Nothing here is proven."""

    public_key: str  # 0x…, or nothing where it is not stated
    path: str
    description: str
    version: int
    kdf: str

    @classmethod
    def read(cls, text: str) -> Sheet:
        """Raises InvalidEncoding, InvalidPoint, KeystoreRefused: no keystore of a BLS key."""
        value = parse(text)
        members = Members(value, "the keystore")
        version = members.integer("version")
        if version != 4:
            raise KeystoreRefused(f"a keystore of version {version} holds no BLS key, 4 does")
        crypto = Members(dict(members.object("crypto")), "crypto")
        kdf = Members(dict(crypto.object("kdf")), "kdf").text("function")
        stated = {name: _optional(value, name) for name in ("pubkey", "path", "description")}
        key = _public_key(stated["pubkey"]) if stated["pubkey"] else ""
        return cls(key, stated["path"], stated["description"], version, kdf)


def _optional(value: Json, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _public_key(stated: str) -> str:
    """A point of the subgroup, in either case and with or without 0x.

    Raises InvalidHex, InvalidPoint.
    """
    digits = "0x" + stated.lower().removeprefix("0x")
    raw = from_hex(digits, member="pubkey", size=bls.PUBLIC_KEY_BYTES)
    return to_hex(bls.PublicKey.decode(raw).raw)


@click.group("key")
def key() -> None:
    """Look at a keystore; its secret is never shown."""


@key.command()
@keystore_argument
@json_option
def show(keystore_file: Path, as_json: bool) -> None:
    """Show what KEYSTORE says of itself; needs no password and proves nothing."""
    sheet = Sheet.read(keystore.read_private(keystore_file))
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
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The file that holds its password.",
)
@click.option(
    "--committee",
    "committee_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Say whose key it is in this committee.",
)
@json_option
def verify(
    keystore_file: Path, password_file: Path, committee_file: Path | None, as_json: bool
) -> None:
    """Open KEYSTORE, and check that it holds the key that it states."""
    committee = load_committee(committee_file) if committee_file else None
    found = unlock(keystore_file, password_file).public_key()
    role, member = find(found, committee) if committee else ("", "")
    if as_json:
        whose = {"role": role, "id": member} if committee else {}
        print_json({"verdict": "verified", "public_key": to_hex(found.raw), **whose})
        return
    console.print(f"[green]verified[/]: the keystore holds the key {to_hex(found.raw)}")
    if committee:
        console.print(f"it is {role} {member} of the committee {plain(committee.name)}")


def unlock(keystore_file: Path, password_file: Path) -> bls.SecretKey:
    """The key that is in there, which is never shown.

    Raises:
        KeystoreError: a file cannot be read.
        NotEnoughMemory: it cannot be opened here.
        KeystoreRefused: it does not open with this password, or holds another key than it says.
        InvalidEncoding, InvalidPoint: no keystore.
    """
    text = keystore.read_private(keystore_file)
    password = keystore.read_password(password_file)
    Sheet.read(text)
    try:
        return keystore.unseal(text, password, source=f"keystore {keystore_file}")
    except NotEnoughMemory:
        raise
    except KeystoreError as error:
        raise KeystoreRefused(str(error)) from None


def find(found: bls.PublicKey, committee: Committee) -> tuple[str, str]:
    """Whose key it is: operator or expert, and the id. Raises NotAMember."""
    for role, members in (("operator", committee.operators), ("expert", committee.experts)):
        for member in members:
            if member.public_key == found:
                return role, member.id
    message = f"nobody in the committee {committee.name} has this key"
    raise NotAMember(message, public_key=to_hex(found.raw))
