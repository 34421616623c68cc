"""The disk under a service's files: whether it can be written, and what it costs if it cannot.

A disk that is full or read-only is no bug of the service and no damage. So these errors have types
of their own; the log mentions them once a minute; and the service works again as soon as it can.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

from dragon.errors import DiskError, DiskFailed, DiskFull
from dragon.storage.sqlite_faults import primary_code, sqlite_fault

RESERVE_BYTES: Final = 1 << 20  # with less free space a disk counts as full
LOG_INTERVAL_SECONDS: Final = 60.0  # between two log lines about one fault
CHECK_INTERVAL_SECONDS: Final = 1.0  # between two test writes while a fault lasts

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_FAILED: Final = (errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.EFBIG, errno.ENXIO)
# Of SQLite's result codes. `CANTOPEN` and `IOERR` are also what a full disk may cause.
_SQLITE: Final = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
)

logger = structlog.stdlib.get_logger(__name__)


class Disk:
    """The disk with a folder, as the last write found it.

    Args:
        folder: where the files are; it must exist before the first write.
        monotonic: a clock in seconds, for the intervals of log lines and test writes.
        attempt: writes and deletes a file in the folder; raises OSError.
        state: the free bytes of the folder's file system, and whether it is read-only.
    """

    def __init__(
        self,
        folder: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        attempt: Callable[[Path], None] | None = None,
        state: Callable[[Path], tuple[int, bool]] | None = None,
    ) -> None:
        self.folder = folder
        self._monotonic = monotonic
        self._attempt = attempt or _write_and_delete
        self._state = state or _free_and_read_only
        self._lock = threading.Lock()  # guards the following attributes
        self._fault: DiskError | None = None
        self._logged_at: float | None = None
        self._checked_at = 0.0

    def check(self) -> None:
        """Write and delete a file of `RESERVE_BYTES`. Raises DiskFull, DiskFailed."""
        with self.guard():
            self._attempt(self.folder)
        self._recovered()

    def fault(self) -> str | None:
        """Return why the disk cannot be written; None if it can.

        Notices a disk that is nearly full before a write fails. After a fault it tries to write
        again, at most once a second.
        """
        if found := self._unusable():
            self._note(found)
            return str(found)
        with self._lock:
            fault, now = self._fault, self._monotonic()
            due = fault is not None and now - self._checked_at >= CHECK_INTERVAL_SECONDS
            if due:
                self._checked_at = now
        if due:
            try:
                self.check()
            except DiskError as error:
                fault = error
            else:
                fault = None
        return str(fault) if fault else None

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turn the errors of a full or failing disk into typed ones. Raises DiskFull, DiskFailed.

        Other errors pass unchanged.
        """
        try:
            yield
        except Exception as error:
            # SQLAlchemy wraps errors of SQLite. It is not imported here: some services that lock or
            # write files need no database.
            fault = self._translated(getattr(error, "orig", error))
            if fault is None:
                raise
            self._note(fault)
            raise fault from None

    def _translated(self, cause: object) -> DiskError | None:
        if isinstance(cause, OSError):
            if cause.errno in _FULL:
                return self._full()
            return self._failed(cause.strerror) if cause.errno in _FAILED else None
        code = primary_code(cause)
        if code not in _SQLITE or not isinstance(cause, sqlite3.Error):
            return None
        if code == sqlite3.SQLITE_FULL:
            return self._full()
        return self._unusable() or self._failed(sqlite_fault(cause))

    def _full(self) -> DiskFull:
        return DiskFull(f"the disk with {self.folder} is full")

    def _failed(self, why: str | None) -> DiskFailed:
        return DiskFailed(f"the disk with {self.folder} cannot be used: {why or 'unknown error'}")

    def _unusable(self) -> DiskError | None:
        """What the file system says of itself. It does not know quotas, or failing hardware."""
        try:
            free, read_only = self._state(self.folder)
        except OSError:
            return None
        if read_only:
            return self._failed("it is read-only")
        return self._full() if free < RESERVE_BYTES else None

    def _note(self, fault: DiskError) -> None:
        with self._lock:
            self._fault, now = fault, self._monotonic()
            self._checked_at = max(self._checked_at, now)
            last = self._logged_at
            if last is not None and now - last < LOG_INTERVAL_SECONDS:
                return
            self._logged_at = now
        logger.error(fault.name, detail=str(fault))

    def _recovered(self) -> None:
        with self._lock:
            was, self._fault, self._logged_at = self._fault, None, None
        if was is not None:
            logger.info("disk_recovered", folder=str(self.folder))


def _free_and_read_only(folder: Path) -> tuple[int, bool]:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize, bool(found.f_flag & os.ST_RDONLY)


def _write_and_delete(folder: Path) -> None:
    # A name of its own for each attempt, so that two services may share the folder. After a crash
    # here a file of `RESERVE_BYTES` is left; `TemporaryFile` has no name where the system allows.
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(RESERVE_BYTES))
        file.flush()
        os.fsync(file.fileno())
