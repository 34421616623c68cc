"""Read files with a size limit, and write files without overwriting any."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from dragon.errors import NotJson, TooLarge
from dragon.storage import permissions
from dragon_cli.errors import AlreadyThere, UnusableFile
from dragon_cli.hints import with_hint

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
FULL_HINT: Final = "Free space on the disk, then run the same command again."
PUBLIC_MODE: Final = permissions.PUBLIC_FILE
PRIVATE_MODE: Final = permissions.PRIVATE_FILE


def cannot(verb: str, path: Path, error: OSError) -> UnusableFile:
    """Return the error for a file or folder that the system does not let us use, in words."""
    if error.errno in FULL:
        unusable = UnusableFile(f"Cannot {verb} {path}: the disk is full.")
        return with_hint(unusable, FULL_HINT)
    return UnusableFile(f"Cannot {verb} {path}: {error.strerror or 'the system refuses it'}.")


def read_bytes(path: Path, *, most: int) -> bytes:
    """Return the content of a file of at most `most` bytes.

    Raises:
        TooLarge: the file is larger.
        UnusableFile: the file cannot be read.
    """
    raw = read_beginning(path, most + 1)
    if len(raw) > most:
        raise TooLarge(f"{path} is larger than {most} bytes, the limit for this kind of file.")
    return raw


def read_beginning(path: Path, most: int) -> bytes:
    """Return at most the first `most` bytes of a file. Raises UnusableFile: cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise cannot("read", path, error) from None


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
        raise cannot("write", path, error) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise cannot("write", path, error) from None


def write_new_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Write a file that does not exist yet, line by line. After a failure no partial file is left.

    Raises AlreadyThere, or UnusableFile if the file cannot be written; whatever `lines` raises.
    """
    try:
        file = path.open("xb")
    except FileExistsError:
        raise AlreadyThere(f"{path} already exists and is not overwritten.") from None
    except OSError as error:
        raise cannot("write", path, error) from None
    try:
        with file:
            file.writelines(lines)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise cannot("write", path, error) from None
    except BaseException:  # also if the user interrupts
        path.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write or replace a file atomically, also if the machine crashes.

    Args:
        mode: permissions that the file gets whatever the umask is. Default: those of the file that
            is replaced; a new file gets `PUBLIC_MODE` without the bits of the umask.

    Raises UnusableFile: the file cannot be written.
    """
    target = path.resolve()  # write through a symbolic link, so that the link remains
    part = target.with_name(f"{target.name}.part")
    try:
        if mode is None and target.exists():
            mode = stat.S_IMODE(target.stat().st_mode)
        part.unlink(missing_ok=True)
        if mode is None:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PUBLIC_MODE)
        else:
            descriptor = permissions.open_new(part, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise cannot("write", path, error) from None


def make_folder(path: Path) -> None:
    """Create a folder that only its owner can use, unless it exists. Raises UnusableFile."""
    try:
        permissions.make_folder(path, permissions.PRIVATE_FOLDER)
    except OSError as error:
        raise cannot("create", path, error) from None
