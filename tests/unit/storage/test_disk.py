"""Full, read-only and failing disks: typed errors, one log line a minute, recovery by itself."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from dragon import errors
from dragon.storage.blobs import SCHEMA as OBJECTS
from dragon.storage.database import Database
from dragon.storage.disk import CHECK_INTERVAL_SECONDS, LOG_INTERVAL_SECONDS, RESERVE_BYTES, Disk


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Attempts:
    """Test writes that fail as told."""

    def __init__(self) -> None:
        self.error: int | None = None
        self.count = 0

    def __call__(self, folder: Path) -> None:
        self.count += 1
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error), str(folder))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts() -> Attempts:
    return Attempts()


@pytest.fixture
def state() -> list[object]:
    """Free bytes, and whether the file system is read-only."""
    return [1 << 30, False]


@pytest.fixture
def disk(tmp_path: Path, clock: Clock, attempts: Attempts, state: list[object]) -> Disk:
    return Disk(tmp_path, monotonic=clock, attempt=attempts, state=lambda _: (state[0], state[1]))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOSPC, errors.DiskFull),
        (errno.EDQUOT, errors.DiskFull),
        (errno.EROFS, errors.DiskFailed),
        (errno.EIO, errors.DiskFailed),
        (errno.EACCES, errors.DiskFailed),
    ],
)
def test_errors_of_the_system_become_typed(
    disk: Disk, tmp_path: Path, code: int, expected: type[errors.DiskError]
) -> None:
    with pytest.raises(expected, match=str(tmp_path)), disk.guard():
        raise OSError(code, os.strerror(code))


def test_other_errors_pass(disk: Disk) -> None:
    with pytest.raises(FileNotFoundError), disk.guard():
        raise FileNotFoundError(errno.ENOENT, "no such file")
    assert disk.fault() is None


def test_a_fault_is_logged_once_a_minute(disk: Disk, clock: Clock, attempts: Attempts) -> None:
    attempts.error = errno.ENOSPC
    with capture_logs() as lines:
        for _ in range(int(LOG_INTERVAL_SECONDS) * 2):
            for _request in range(50):
                with pytest.raises(errors.DiskFull):
                    disk.check()
            clock.now += 1
    assert [line["event"] for line in lines] == ["disk_full", "disk_full"]


def test_the_fault_ends_by_itself_when_the_disk_can_be_written(
    disk: Disk, clock: Clock, attempts: Attempts
) -> None:
    attempts.error = errno.EROFS
    with pytest.raises(errors.DiskFailed):
        disk.check()
    attempts.error = None
    assert "cannot be used" in str(disk.fault())  # it tries again only a second later
    clock.now += CHECK_INTERVAL_SECONDS
    with capture_logs() as lines:
        assert disk.fault() is None
    assert [line["event"] for line in lines] == ["disk_recovered"]


def test_asking_for_the_fault_writes_at_most_once_a_second(
    disk: Disk, clock: Clock, attempts: Attempts
) -> None:
    for _ in range(100):
        assert disk.fault() is None
    assert attempts.count == 0  # a disk without a fault is not written
    attempts.error = errno.ENOSPC
    with pytest.raises(errors.DiskFull):
        disk.check()
    clock.now += CHECK_INTERVAL_SECONDS
    for _ in range(100):
        assert disk.fault() is not None
    assert attempts.count == 2


def test_a_nearly_full_disk_is_noticed_before_a_write_fails(
    disk: Disk, clock: Clock, attempts: Attempts, state: list[object]
) -> None:
    state[0] = RESERVE_BYTES - 1
    with capture_logs() as lines:
        for _ in range(100):
            assert disk.fault() == f"the disk with {disk.folder} is full"
        clock.now += CHECK_INTERVAL_SECONDS
        state[0] = RESERVE_BYTES
        assert disk.fault() is None
    assert [line["event"] for line in lines] == ["disk_full", "disk_recovered"]
    assert attempts.count == 1


def test_a_read_only_file_system_is_noticed_before_a_write_fails(
    disk: Disk, state: list[object]
) -> None:
    state[1] = True
    assert "it is read-only" in str(disk.fault())


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "some.db", OBJECTS)
    with database.write() as connection:
        connection.execute(text("CREATE TABLE kept (value)"))
    yield database
    database.close()


def fill(database: Database, size: int) -> None:
    with database.write() as connection:
        connection.execute(text("INSERT INTO kept VALUES (:value)"), {"value": bytes(size)})


def count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM kept")).scalar_one())


def test_a_full_database_raises_disk_full_and_works_again(database: Database) -> None:
    fill(database, 10)
    with database.write() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(errors.DiskFull):
        fill(database, 1 << 20)
    assert count(database) == 1
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    fill(database, 1 << 20)
    assert count(database) == 2


def test_a_read_only_database_raises_disk_failed(database: Database) -> None:
    with database.read() as connection:
        connection.exec_driver_sql("PRAGMA query_only = 1")
    with pytest.raises(errors.DiskFailed, match="it is read-only"):
        fill(database, 1)
    assert count(database) == 0


def test_a_mistake_in_sql_is_no_fault_of_the_disk(database: Database) -> None:
    with (
        pytest.raises(errors.LogDamaged, match="the table absent is missing"),
        database.write() as connection,
    ):
        connection.execute(text("INSERT INTO absent VALUES (1)"))
    assert database.disk.fault() is None


def test_a_database_is_not_opened_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dragon.storage.disk._write_and_delete", full)
    with pytest.raises(errors.DiskFull):
        Database(tmp_path / "new.db")
    assert not list(tmp_path.iterdir())  # nor is a file left behind


def test_sqlite_without_an_error_code_passes(disk: Disk) -> None:
    with pytest.raises(sqlite3.DatabaseError), disk.guard():
        raise sqlite3.DatabaseError("file is not a database")


def test_the_fault_of_a_disk_is_logged_once_for_all_databases_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Database(tmp_path / "first.db", OBJECTS)
    second = Database(tmp_path / "second.db", OBJECTS, disk=first.disk)
    monkeypatch.setattr(first.disk, "_state", lambda _: (0, False))
    with capture_logs() as logged:
        assert first.disk.fault() == second.disk.fault()
    assert [each["event"] for each in logged] == ["disk_full"]
    first.close()
    second.close()
