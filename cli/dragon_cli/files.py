"""Files that a command is given or makes: read within bounds, and never overwritten."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from dragon.errors import NotJson, TooLarge
from dragon_cli.errors import AlreadyThere, UnusableFile

PUBLIC: Final = 0o644
PRIVATE: Final = 0o600


def read_bytes(path: Path, *, most: int) -> bytes:
    """Raises TooLarge: more than `most` bytes. UnusableFile: it cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > most:
        raise TooLarge(f"{path} is larger than any file of its kind: more than {most} bytes")
    return raw


def read_text(path: Path, *, most: int) -> str:
    """Raises as `read_bytes` does. NotJson: no text, so no JSON either; it is not quoted."""
    try:
        return read_bytes(path, most=most).decode("utf-8")
    except UnicodeDecodeError:
        raise NotJson(f"{path} is no text") from None


def check_free(path: Path) -> None:
    """Asked before long work; `write_new` asks again.

    Raises AlreadyThere; UnusableFile: there is no such folder.
    """
    if os.path.lexists(path):
        raise AlreadyThere(f"{path} is there already and is not overwritten")
    if not path.parent.is_dir():
        raise UnusableFile(f"{path} cannot be written: there is no folder {path.parent}")


def write_new(path: Path, text: str, *, mode: int = PUBLIC) -> None:
    """Write a file that was not there. It is whole, or gone again.

    Raises AlreadyThere; UnusableFile: it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise AlreadyThere(f"{path} is there already and is not overwritten") from None
    except OSError as error:
        raise UnusableFile(f"{path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise UnusableFile(f"{path} cannot be written: {error.strerror}") from None


def write_whole(path: Path, text: str) -> None:
    """Write or replace a file, whole or not at all, whatever happens to the machine meanwhile.

    Who may read it stays as it was. Raises UnusableFile: it cannot be written.
    """
    target = path.resolve()  # where a link leads, so that it stays one
    part = target.with_name(f"{target.name}.part")
    try:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else PUBLIC
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
        raise UnusableFile(f"{path} cannot be written: {error.strerror}") from None


def make_folder(path: Path) -> None:
    """A folder for its owner alone, unless it is there. Raises UnusableFile."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UnusableFile(f"{path} cannot be made: {error.strerror}") from None
