"""Files and folders with exact permissions, whatever the process's umask is."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

PUBLIC_FILE: Final = 0o644
PUBLIC_FOLDER: Final = 0o755
PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700
_WRITABLE_BY_OTHERS: Final = 0o022


def forbid_writing_by_others() -> None:
    """Extend the process's umask, so that others can write no file or folder that it creates."""
    os.umask(os.umask(_WRITABLE_BY_OTHERS) | _WRITABLE_BY_OTHERS)


def make_folder(path: Path, mode: int) -> None:
    """Create a folder and its missing parents, each with this mode. Existing ones do not change.

    Raises OSError.
    """
    if path.is_dir():
        return
    make_folder(path.parent, mode)
    try:
        path.mkdir(mode=mode)
    except FileExistsError:
        if not path.is_dir():
            raise
        return  # another process was faster
    path.chmod(mode)


def open_new(path: Path, mode: int) -> int:
    """Create a file with this mode and return its descriptor, open for writing.

    Raises FileExistsError, OSError.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:  # some file systems have no modes
        os.fchmod(descriptor, mode)
    return descriptor
