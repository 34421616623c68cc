"""Keys of members in files: an EIP-2335 keystore, and its password in another file."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from dragon import errors
from dragon.protocol import bls
from dragon.storage.eip2335 import Pbkdf2, Scrypt, Sealed, normalise
from dragon.storage.memory import available_bytes
from dragon.storage.permissions import PRIVATE_FILE, PRIVATE_FOLDER, make_folder, open_new

logger = structlog.get_logger(__name__)

MAX_BYTES: Final = 64 * 1024
# Of keystores made here, as in EIP-2335; a fifth of a second at each start of a service. More would
# protect weak passwords, but ours have 192 random bits.
PBKDF2_ITERATIONS: Final = 262_144
HEADROOM_BYTES: Final = 8 << 20  # that must stay free beside scrypt's memory

Available = Callable[[], int | None]


def seal(key: bls.SecretKey, password: str) -> str:
    """The text of a keystore. PBKDF2: scrypt would need 256 MiB whenever a service starts."""
    kdf, iv = Pbkdf2(os.urandom(32), PBKDF2_ITERATIONS), os.urandom(16)
    public_key = key.public_key().raw.hex()
    return Sealed.make(kdf, normalise(password), iv, key.encode(), public_key).write()


def unseal(
    text: str,
    password: str,
    *,
    source: str = "this keystore",
    available: Available = available_bytes,
) -> bls.SecretKey:
    """The key in a keystore. `source` names it in errors, which quote nothing from the file.

    Raises:
        NotEnoughMemory: scrypt needs more than the process may take.
        KeystoreError: not an EIP-2335 keystore, another password, or another key than stated.
    """
    try:
        sealed = Sealed.read(text)
    except errors.InvalidEncoding as error:
        message = f"Cannot read {source}: not an EIP-2335 keystore of version 4 ({_why(error)})."
        raise errors.KeystoreError(message) from None
    raw = sealed.decrypt(_derive(sealed.kdf, normalise(password), source, available))
    if raw is None:
        message = f"Cannot decrypt {source}: wrong password, or the file is damaged."
        raise errors.KeystoreError(message)
    try:
        key = bls.SecretKey.decode(raw)
    except errors.InvalidPoint:
        message = f"Cannot use {source}: it does not contain a BLS12-381 secret key."
        raise errors.KeystoreError(message) from None
    if sealed.public_key not in ("", key.public_key().raw.hex()):
        message = f"Cannot use {source}: the public key that it states belongs to another key."
        raise errors.KeystoreError(message)
    return key


def _why(error: errors.InvalidEncoding) -> str:
    """A place in the file, and never what stands there: that may be a key."""
    member = error.facts.get("member")
    if member is None or isinstance(error, errors.DuplicateMember):
        return "unexpected JSON"
    return f"`{member}` is missing or not supported"


def _derive(kdf: Pbkdf2 | Scrypt, password: bytes, source: str, available: Available) -> bytes:
    """Raises NotEnoughMemory, before the kernel would end the process for taking too much."""
    if isinstance(kdf, Pbkdf2):
        return kdf.derive(password)
    needed, free = kdf.memory + HEADROOM_BYTES, available()
    if free is None or free >= needed:
        try:
            return kdf.derive(password)
        except (MemoryError, ValueError):  # `Scrypt.read` checked the parameters: no memory
            free = None
    there = "the process cannot have it" if free is None else f"{free >> 20} MiB are available"
    message = (
        f"Cannot decrypt {source}: scrypt (n={kdf.n}, r={kdf.r}, p={kdf.p}) needs "
        f"{needed >> 20} MiB of memory, and {there}."
    )
    raise errors.NotEnoughMemory(message, needed_mib=needed >> 20)


def load(
    path: Path, password_path: Path, *, available: Available = available_bytes
) -> bls.SecretKey:
    """Raises KeystoreError: a file is missing, too large, or they do not belong together."""
    password, text = read_password(password_path), read_private(path)
    for file in (path, password_path):
        if file.stat().st_mode & 0o077:
            # No refusal: containers mount secrets for everybody inside to read.
            logger.warning("key_file_open_to_others", path=str(file))
    source = f"keystore {path}"
    try:
        return unseal(text, password, source=source, available=available)
    except errors.NotEnoughMemory:
        raise
    except errors.KeystoreError:
        # Version 0.1 took a byte-order mark for a part of the password when it made a keystore.
        if not _has_byte_order_mark(password_path):
            raise
        return unseal(text, f"\ufeff{password}", source=source, available=available)


def _has_byte_order_mark(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(BOM_UTF8)) == BOM_UTF8


def read_password(path: Path) -> str:
    """The password in a file of one line. Raises KeystoreError.

    A line end, LF or CRLF, is not part of the password; spaces are.
    """
    password = read_private(path).rstrip("\r\n")
    if "\n" in password or "\r" in password:
        message = f"Password file {path} has more than one line; expected only the password."
        raise errors.KeystoreError(message)
    return password


def read_private(path: Path) -> str:
    """Read a small text file that only its owner should read, without a byte-order mark.

    Raises KeystoreError: it cannot be read, is too large or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise errors.KeystoreError(f"{path} is too large")
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise errors.KeystoreError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        message = f"{path} is not UTF-8 text; save it again with that encoding."
        raise errors.KeystoreError(message) from None


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read; never overwrites one.

    Raises KeystoreError: the file is there already, or cannot be written.
    """
    try:
        make_folder(path.parent, PRIVATE_FOLDER)
        descriptor = open_new(path, PRIVATE_FILE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise errors.KeystoreError(f"{path} is there already and is not overwritten") from None
    except OSError as error:
        raise errors.KeystoreError(f"{path} cannot be written: {error.strerror}") from None
