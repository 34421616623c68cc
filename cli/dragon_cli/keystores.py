"""EIP-2335 keystores on the command line: read their public part, open them, find the owner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dragon.encoding import Json, Members, from_hex, parse, to_hex
from dragon.errors import KeystoreError, NotEnoughMemory
from dragon.protocol import bls
from dragon.protocol.committee import Committee, Keyed
from dragon.protocol.committee_file import heartbeat_key
from dragon.protocol.member import Role
from dragon.storage import keystore
from dragon_cli.errors import KeystoreRefused, NotAMember

VERSION: Final = 4  # of EIP-2335 keystores, which hold BLS keys


@dataclass(frozen=True, slots=True)
class Sheet:
    """The public members of a keystore, readable without its password. None is verified."""

    public_key: str  # 0x…, or empty if the keystore does not state it
    path: str
    description: str
    version: int
    kdf: str

    @classmethod
    def read(cls, text: str) -> Sheet:
        """Read the public members of a keystore.

        Raises InvalidEncoding, InvalidPoint, KeystoreRefused: not a keystore of a BLS key.
        """
        value = parse(text)
        members = Members(value, "the keystore")
        version = members.integer("version")
        if version != VERSION:
            message = f"Unsupported keystore version {version}; expected {VERSION} (BLS keys)."
            raise KeystoreRefused(message)
        crypto = Members(dict(members.object("crypto")), "crypto")
        kdf = Members(dict(crypto.object("kdf")), "kdf").text("function")
        stated = {name: _optional(value, name) for name in ("pubkey", "path", "description")}
        key = _public_key(stated["pubkey"]) if stated["pubkey"] else ""
        return cls(key, stated["path"], stated["description"], version, kdf)


def _optional(value: Json, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _public_key(stated: str) -> str:
    """Return the key if it is a point of the subgroup; accept either case, with or without 0x.

    Raises InvalidHex, InvalidPoint.
    """
    digits = "0x" + stated.lower().removeprefix("0x")
    raw = from_hex(digits, member="pubkey", size=bls.PUBLIC_KEY_BYTES)
    return to_hex(bls.PublicKey.decode(raw).raw)


def unlock(keystore_file: Path, password_file: Path) -> bls.SecretKey:
    """Return the secret key of a keystore. Never print it.

    Raises:
        KeystoreError: a file cannot be read.
        NotEnoughMemory: this process cannot use as much memory as the keystore needs.
        KeystoreRefused: the password is wrong, or the keystore holds another key than it states.
        InvalidEncoding, InvalidPoint: not a keystore.
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


def find(key: bls.PublicKey, committee: Committee) -> tuple[str, str]:
    """Return role and id of the member, or target with heartbeats, that has this key.

    Raises NotAMember.
    """
    for role, member in _by_role(committee):
        if member.public_key == key:
            return role, member.id
    message = f"No member of the committee {committee.name} has this key."
    raise NotAMember(message, public_key=to_hex(key.raw))


def _by_role(committee: Committee) -> Iterator[tuple[Role, Keyed]]:
    yield from ((Role.OPERATOR, each) for each in committee.operators)
    yield from ((Role.EXPERT, each) for each in committee.experts)
    yield from ((Role.OWNER, each) for each in committee.owners)
    yield from ((Role.TARGET, each) for each in map(heartbeat_key, committee.targets) if each)
