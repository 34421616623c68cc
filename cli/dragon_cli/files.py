"""Read files with a size limit, and write files without overwriting any."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from dragon.errors import NotJson, TooLarge
from dragon_cli.errors import AlreadyThere, UnusableFile

PUBLIC_MODE: Final = 0o644
PRIVATE_MODE: Final = 0o600


def read_bytes(path: Path, *, most: int) -> bytes:
    """Return the content of a file of at most `most` bytes.

    Raises:
        TooLarge: the file is larger.
        UnusableFile: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except OSError as error:
        raise UnusableFile(f"Cannot read {path}: {error.strerror}.") from None
    if len(raw) > most:
        raise TooLarge(f"{path} is larger than {most} bytes, the limit for this kind of file.")
    return raw


def read_text(path: Path, *, most: int) -> str:
    """Return the content of a UTF-8 file of at most `most` bytes.

    Raises TooLarge and UnusableFile as `read_bytes`. NotJson: not UTF-8; never quotes the content.
    """
    try:
        return read_bytes(path, most=most).decode("utf-8")
    except UnicodeDecodeError:
        raise NotJson(f"{path} is not a text file in UTF-8.") from None


def check_free(path: Path) -> None:
    """Check before long work that `path` can be written; `write_new` checks again.

    Raises AlreadyThere, or UnusableFile if the folder does not exist.
    """
    if os.path.lexists(path):
        raise AlreadyThere(f"{path} already exists and is not overwritten.")
    if not path.parent.is_dir():
        raise UnusableFile(f"Cannot write {path}: the folder {path.parent} does not exist.")


def write_new(path: Path, text: str, *, mode: int = PUBLIC_MODE) -> None:
    """Write a file that does not exist yet. After a failure no partial file is left.

    Raises AlreadyThere, or UnusableFile if the file cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise AlreadyThere(f"{path} already exists and is not overwritten.") from None
    except OSError as error:
        raise UnusableFile(f"Cannot write {path}: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise UnusableFile(f"Cannot write {path}: {error.strerror}.") from None


def write_whole(path: Path, text: str, *, mode: int = PUBLIC_MODE) -> None:
    """Write or replace a file atomically, also if the machine crashes; keep its permissions.

    `mode` applies to a file that does not exist yet.

    Raises UnusableFile: the file cannot be written.
    """
    target = path.resolve()  # write through a symbolic link, so that the link remains
    part = target.with_name(f"{target.name}.part")
    try:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else mode
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise UnusableFile(f"Cannot write {path}: {error.strerror}.") from None


def make_folder(path: Path) -> None:
    """Create a folder that only its owner can use, unless it exists. Raises UnusableFile."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UnusableFile(f"Cannot create {path}: {error.strerror}.") from None
