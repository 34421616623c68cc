"""EIP-2335 keystores: a BLS secret key in a file, under a password that stands in another file."""

from __future__ import annotations

import importlib
import json
import os
import sys
import unicodedata
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

import structlog

from dragon import errors
from dragon.protocol import bls

logger = structlog.get_logger(__name__)

MAX_BYTES: Final = 64 * 1024
_CONTROL: Final = frozenset([*range(0x20), *range(0x7F, 0xA0)])


def normalise(password: str) -> bytes:
    """NFKD, control characters stripped, UTF-8: the password as EIP-2335 wants it."""
    decomposed = unicodedata.normalize("NFKD", password)
    return "".join(c for c in decomposed if ord(c) not in _CONTROL).encode()


def seal(key: bls.SecretKey, password: str) -> str:
    """The keystore's text. PBKDF2: scrypt would cost each service 256 MB when it starts."""
    create = _library().create_keyfile_json
    sealed = create(key.encode(), normalise(password), version=4, kdf="pbkdf2")
    return json.dumps(sealed, indent=2)


def unseal(text: str, password: str) -> bls.SecretKey:
    """Raises KeystoreError: no keystore, another version, or another password."""
    try:
        sealed = cast("dict[str, Any]", json.loads(text))
        _check_form(sealed)
        raw = _library().decode_keyfile_json(sealed, normalise(password))
        key = bls.SecretKey.decode(bytes(raw))
        stated = sealed.get("pubkey", "")
    except Exception as error:
        # Whatever the library makes of a file that is no keystore. The cause is left out on
        # purpose: it may quote what was being read.
        kind = type(error).__name__
        raise errors.KeystoreError(f"no key comes out of this keystore ({kind})") from None
    if stated and stated != key.public_key().raw.hex():
        raise errors.KeystoreError("the keystore holds another key than it says")
    return key


def _library() -> ModuleType:
    """`eth_keyfile`, kept from changing the whole process.

    What it imports raises the recursion limit to 100,000. With that, deeply nested JSON overflows
    the stack of Python's parser, and a peer's answer could crash the service.
    """
    limit = sys.getrecursionlimit()
    try:
        return importlib.import_module("eth_keyfile.keyfile")
    finally:
        sys.setrecursionlimit(limit)


def _check_form(sealed: dict[str, Any]) -> None:
    """What the library takes for granted. Raises ValueError, LookupError or TypeError."""
    crypto = sealed["crypto"]
    functions = (crypto["checksum"]["function"], crypto["cipher"]["function"])
    if sealed["version"] != 4 or functions != ("sha256", "aes-128-ctr"):
        raise ValueError("not a keystore of version 4")


def load(path: Path, password_path: Path) -> bls.SecretKey:
    """Raises KeystoreError: a file is missing, too large, or they do not belong together."""
    password = read_private(password_path).removesuffix("\n")
    sealed = read_private(path)
    for file in (path, password_path):
        if file.stat().st_mode & 0o077:
            # No refusal: containers mount secrets for everybody inside to read.
            logger.warning("key_file_open_to_others", path=str(file))
    return unseal(sealed, password)


def read_private(path: Path) -> str:
    """A small file that only its owner should read. Raises KeystoreError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise errors.KeystoreError(f"{path} is too large")
        return raw.decode("utf-8")
    except OSError as error:
        raise errors.KeystoreError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise errors.KeystoreError(f"{path} is no text") from None


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read; never overwrites one.

    Raises KeystoreError: the file is there already, or cannot be written.
    """
    try:
        for folder in (path.parent.parent, path.parent):  # `parents` would open all but the last
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise errors.KeystoreError(f"{path} is there already and is not overwritten") from None
    except OSError as error:
        raise errors.KeystoreError(f"{path} cannot be written: {error.strerror}") from None
