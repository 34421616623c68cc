"""Single statements on a database, and transactions with the driver's own cursor."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from dragon.errors import DiskFull, LogDamaged
from dragon.storage.database import Database


def test_a_single_statement_sees_the_last_commit(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db")
    with database.write() as connection:
        connection.execute(text("CREATE TABLE t (a INTEGER, b BLOB)"))
        connection.execute(text("INSERT INTO t VALUES (1, x'00'), (2, NULL)"))

    query = "SELECT a, b FROM t WHERE a >= :least ORDER BY a"
    with database.write() as connection:
        connection.execute(text("DELETE FROM t"))
        assert database.query(query, {"least": 1}) == [(1, b"\0"), (2, None)]
    assert database.query(query, {"least": 1}) == []
    assert database.value(query, {"least": 1}) is None
    database.close()


def test_damage_has_the_same_error_as_in_a_transaction(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db")

    with pytest.raises(LogDamaged, match="is damaged"):
        database.query("SELECT a FROM nothing", {})
    database.close()


def test_single_statements_give_their_connection_back(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db")
    for _ in range(64):  # more than there are connections
        assert database.value("SELECT :a", {"a": 7}) == 7
        with pytest.raises(LogDamaged):
            database.query("SELECT a FROM nothing", {})
    database.close()


@pytest.fixture
def numbers(tmp_path: Path) -> Iterator[Database]:
    """A database with a table of numbers, which has the row 1."""
    database = Database(tmp_path / "x.db")
    with database.transaction() as cursor:
        cursor.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        cursor.execute("INSERT INTO t VALUES (1)")
    yield database
    database.close()


def execute(database: Database, *statements: str) -> None:
    """Execute statements in one transaction."""
    with database.transaction() as cursor:
        for statement in statements:
            cursor.execute(statement)


def found_in(database: Database) -> list[int]:
    return [number for (number,) in database.query("SELECT a FROM t ORDER BY a", {})]


def test_a_transaction_is_committed_when_its_block_ends(numbers: Database) -> None:
    with numbers.transaction() as cursor:
        cursor.execute("INSERT INTO t VALUES (:a)", {"a": 2})
        assert found_in(numbers) == [1]

    with closing(sqlite3.connect(numbers.path)) as other:
        assert other.execute("SELECT a FROM t ORDER BY a").fetchall() == [(1,), (2,)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_transaction_whose_block_raises_changes_nothing(
    numbers: Database, error: type[BaseException]
) -> None:
    def interrupted() -> None:
        with numbers.transaction() as cursor:
            cursor.execute("INSERT INTO t VALUES (2)")
            raise error

    with pytest.raises(error):
        interrupted()

    assert found_in(numbers) == [1]
    execute(numbers, "INSERT INTO t VALUES (3)")  # nothing holds the lock of the file
    assert found_in(numbers) == [1, 3]


def test_a_transaction_in_which_a_statement_fails_changes_nothing(numbers: Database) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        execute(numbers, "INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (1)")

    assert found_in(numbers) == [1]


def test_a_transaction_takes_the_writers_lock_at_once(numbers: Database) -> None:
    """Otherwise it could read what another writer changes before it writes."""
    with closing(sqlite3.connect(numbers.path, timeout=0)) as other, numbers.transaction():
        with pytest.raises(sqlite3.OperationalError) as refused:
            other.execute("BEGIN IMMEDIATE")
        assert refused.value.sqlite_errorcode == sqlite3.SQLITE_BUSY


def test_a_transaction_that_another_program_keeps_waiting_changes_nothing(
    numbers: Database,
) -> None:
    numbers.query("PRAGMA busy_timeout = 0", {})
    with closing(sqlite3.connect(numbers.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as refused:
            execute(numbers, "INSERT INTO t VALUES (2)")
        assert refused.value.sqlite_errorcode == sqlite3.SQLITE_BUSY
        other.execute("COMMIT")

    execute(numbers, "INSERT INTO t VALUES (3)")
    assert found_in(numbers) == [1, 3]


def test_a_transaction_that_cannot_commit_changes_nothing(numbers: Database) -> None:
    execute(numbers, "CREATE TABLE u (a REFERENCES t (a) DEFERRABLE INITIALLY DEFERRED)")
    numbers.query("PRAGMA foreign_keys = ON", {})

    with pytest.raises(sqlite3.IntegrityError):
        execute(numbers, "INSERT INTO t VALUES (2)", "INSERT INTO u VALUES (7)")

    assert found_in(numbers) == [1]
    execute(numbers, "INSERT INTO t VALUES (3)")
    assert found_in(numbers) == [1, 3]


def test_a_transaction_meets_damage_with_the_error_of_all_damage(numbers: Database) -> None:
    with pytest.raises(LogDamaged, match="is damaged"), numbers.transaction() as cursor:
        cursor.execute("INSERT INTO nothing VALUES (1)")


def test_a_transaction_on_a_full_disk_has_a_typed_error(numbers: Database) -> None:
    pages = numbers.value("PRAGMA page_count", {})
    numbers.query(f"PRAGMA max_page_count = {pages}", {})
    with pytest.raises(DiskFull):
        execute(numbers, "INSERT INTO t VALUES (2)", "CREATE TABLE big (a BLOB)")

    assert found_in(numbers) == [1]


def test_a_transaction_writes_what_survives_a_crash(numbers: Database) -> None:
    with numbers.transaction() as cursor:
        assert cursor.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_transactions_of_two_threads_take_turns(numbers: Database) -> None:
    def add(_: int) -> None:
        with numbers.transaction() as cursor:
            [last] = cursor.execute("SELECT MAX(a) FROM t").fetchone()
            cursor.execute("INSERT INTO t VALUES (:a)", {"a": last + 1})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(40)))

    assert found_in(numbers) == list(range(1, 42))


def test_a_transaction_that_fails_keeps_no_view_of_the_file(numbers: Database) -> None:
    """The error holds the frame of the block, and so its cursor, beyond the transaction."""

    def failing() -> None:
        with numbers.transaction() as cursor:
            assert cursor.execute("SELECT a FROM t ORDER BY a").fetchone() == (1,)
            raise ValueError("the second row was not read")

    execute(numbers, "INSERT INTO t VALUES (2)")
    with pytest.raises(ValueError, match="not read") as raised:
        failing()
    with numbers.write() as connection:
        connection.execute(text("INSERT INTO t VALUES (3)"))

    assert found_in(numbers) == [1, 2, 3]
    execute(numbers, "INSERT INTO t VALUES (4)")
    assert found_in(numbers) == [1, 2, 3, 4]
    assert raised.tb is not None  # the error was kept until now
