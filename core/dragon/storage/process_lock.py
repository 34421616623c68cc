"""A lock that one process holds on the files it writes, for as long as it runs.

SQLite and append-only files survive a crash, but not two services that both believe that they own
them. The lock is `flock` on a file beside the data: the kernel releases it when the process ends,
however it ends, and containers that share a volume see the same lock. The file stays.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from dragon.errors import DiskFailed, InUse
from dragon.storage.disk import Disk
from dragon.storage.permissions import PRIVATE_FILE, PRIVATE_FOLDER, make_folder

POLL_SECONDS: Final = 0.1  # between two attempts
# A service that is told to reload starts its new process before the old one has ended.
START_WAIT_SECONDS: Final = 5.0
_MAX_OWNER_BYTES: Final = 200


class ProcessLock:
    """An exclusive lock, held until `close` or the end of the process."""

    def __init__(
        self,
        path: Path,
        subject: Path,
        *,
        wait_seconds: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the lock.

        Args:
            path: the lock file; its folder is created if it does not exist, for this user only.
            subject: what the lock protects, for the error.
            wait_seconds: how long to wait for another process to release it.
            sleep: waits that many seconds.

        Raises:
            InUse: another process has the lock; the message names it.
            DiskFull, DiskFailed: the lock file cannot be created.
        """
        try:
            with Disk(path.parent).guard():
                make_folder(path.parent, PRIVATE_FOLDER)
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        except OSError as error:  # a folder is where the file should be, or the reverse
            raise DiskFailed(f"{path} cannot be used: {error.strerror}") from None
        try:
            self._take(subject, round(wait_seconds / POLL_SECONDS), sleep)
        except BaseException:
            os.close(self._file)
            raise

    @classmethod
    def on_database(cls, path: Path, *, wait_seconds: float = 0.0) -> Self:
        """Lock a database file: `<name>.lock` beside it. Raises InUse."""
        return cls(path.with_name(f"{path.name}.lock"), path, wait_seconds=wait_seconds)

    @classmethod
    def on_folder(cls, folder: Path, *, wait_seconds: float = 0.0) -> Self:
        """Lock a folder: the file `lock` in it. Raises InUse."""
        return cls(folder / "lock", folder, wait_seconds=wait_seconds)

    def close(self) -> None:
        """Release the lock."""
        os.close(self._file)

    def _take(self, subject: Path, waits: int, sleep: Callable[[float], None]) -> None:
        for left in range(waits, -1, -1):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not left:
                    raise InUse(_sentence(subject, self._owner()), path=str(subject)) from None
                sleep(POLL_SECONDS)
            else:
                break
        with suppress(OSError):  # on a full disk the lock holds, only its owner is not named
            os.ftruncate(self._file, 0)
            owner = f"process {os.getpid()} on host {socket.gethostname()}"
            os.pwrite(self._file, owner.encode("utf-8", "replace")[:_MAX_OWNER_BYTES], 0)

    def _owner(self) -> str:
        raw = os.pread(self._file, _MAX_OWNER_BYTES, 0).decode("utf-8", "replace")
        return raw if raw.isprintable() else ""


def _sentence(subject: Path, owner: str) -> str:
    return (
        f"{subject} is used by {owner or 'another process'}; stop that process first, or use "
        "other files: two processes on the same files would damage them"
    )
