"""The lock on a service's files: one process at a time, released however it ends."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from dragon.errors import DiskFailed, InUse
from dragon.storage.process_lock import POLL_SECONDS, ProcessLock

HOLDER = """
import sys
from pathlib import Path
from dragon.storage.process_lock import ProcessLock
lock = ProcessLock.on_database(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    database = tmp_path / "operator.db"
    command = [sys.executable, "-c", HOLDER, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(InUse, match=f"operator.db is used by process {holder.pid} on host"):
            ProcessLock.on_database(database)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with closing(ProcessLock.on_database(database)):
            pass


def test_it_waits_for_a_process_that_is_about_to_end(tmp_path: Path) -> None:
    first = ProcessLock.on_folder(tmp_path)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            first.close()

    with closing(ProcessLock(tmp_path / "lock", tmp_path, wait_seconds=1, sleep=sleep)):
        assert waited == 3 * [POLL_SECONDS]


def test_the_wait_is_bounded(tmp_path: Path) -> None:
    waited: list[float] = []
    with closing(ProcessLock.on_folder(tmp_path)), pytest.raises(InUse, match="stop that process"):
        ProcessLock(tmp_path / "lock", tmp_path, wait_seconds=1, sleep=waited.append)
    assert sum(waited) == pytest.approx(1)


def test_two_databases_in_one_folder_do_not_exclude_each_other(tmp_path: Path) -> None:
    one = ProcessLock.on_database(tmp_path / "operator_1.db")
    other = ProcessLock.on_database(tmp_path / "operator_2.db")
    one.close()
    other.close()


def test_a_read_only_disk_is_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as broken:
        broken.setattr(os, "open", read_only)
        with pytest.raises(DiskFailed, match="Read-only file system"):
            ProcessLock.on_folder(tmp_path)


def test_an_unreadable_owner_is_not_printed(tmp_path: Path) -> None:
    with closing(ProcessLock.on_folder(tmp_path)):
        (tmp_path / "lock").write_bytes(b"\x1b[31m")
        with pytest.raises(InUse, match="is used by another process"):
            ProcessLock.on_folder(tmp_path)


def test_its_folder_is_private(tmp_path: Path) -> None:
    """The lock is taken before the database makes its files, and so creates their folder."""
    database = tmp_path / "data" / "operator_1" / "operator.db"
    before = os.umask(0)
    try:
        ProcessLock.on_database(database).close()
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in database.parents[:2]]
    assert modes == [0o700, 0o700]


def test_a_folder_instead_of_a_file_and_the_reverse_are_typed_errors(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(DiskFailed, match="lock cannot be used: Is a directory"):
        ProcessLock.on_folder(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DiskFailed, match="lock cannot be used"):
        ProcessLock.on_folder(tmp_path / "file")
