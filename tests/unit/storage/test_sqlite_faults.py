"""SQLite's own texts, which quote statements and values, reach nobody."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from dragon import errors
from dragon.log.archive import archive
from dragon.storage.sqlite_faults import INCONSISTENT, LOCKED, NOT_UTF8, sqlite_fault
from dragon_operator.journal_file import archive_journal, journal_path


def fault(cause: Callable[[sqlite3.Connection], object], path: Path) -> tuple[str, str]:
    """Return our words and SQLite's."""
    with closing(sqlite3.connect(path, timeout=0)) as database, pytest.raises(sqlite3.Error) as no:
        cause(database)
    return sqlite_fault(no.value), str(no.value)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A database with a table, and beside it one that another connection has locked."""
    for name in ("free.db", "locked.db"):
        with closing(sqlite3.connect(tmp_path / name)) as database:
            database.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT UNIQUE)")
            database.execute("INSERT INTO t VALUES (1, 'secret')")
            database.commit()
    with closing(sqlite3.connect(tmp_path / "locked.db")) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        yield tmp_path


@pytest.mark.parametrize(
    ("file", "statement", "expected"),
    [
        ("free.db", "SELECT * FROM absent", "the table absent is missing"),
        ("free.db", "SELECT absent FROM t", "the column absent is missing"),
        ("free.db", "SELEC 'secret'", "a table or a column is missing"),
        ("free.db", "INSERT INTO t VALUES (2, 'secret')", "a row contradicts another one"),
        ("locked.db", "SELECT * FROM t", LOCKED),
        ("none/none.db", "", "it cannot be opened"),
        ("noise.db", "SELECT * FROM t", "it is no SQLite database"),
    ],
)
def test_every_fault_has_words_of_its_own(
    path: Path, file: str, statement: str, expected: str
) -> None:
    (path / "noise.db").write_bytes(b"noise" * 1000)
    if file == "none/none.db":
        with pytest.raises(sqlite3.Error) as raised:
            sqlite3.connect(path / file).execute(statement)
        ours, theirs = sqlite_fault(raised.value), str(raised.value)
    else:
        ours, theirs = fault(lambda database: database.execute(statement), path / file)

    assert ours == expected
    assert theirs not in ours
    assert "secret" not in ours


def test_text_that_cannot_be_decoded_is_not_quoted(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        with pytest.raises(sqlite3.Error) as raised:
            database.execute("SELECT CAST(x'73ff' AS TEXT)").fetchall()
        assert sqlite_fault(raised.value) == NOT_UTF8
    assert sqlite_fault(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")) == NOT_UTF8
    assert sqlite_fault(sqlite3.DatabaseError("library text")) == INCONSISTENT
    assert sqlite_fault(None) == INCONSISTENT


def test_archives_of_files_in_use_say_so_in_our_words(path: Path) -> None:
    with suppress(FileNotFoundError):
        journal_path(path / "operator.db").unlink()
    (path / "locked.db").rename(journal_path(path / "operator.db"))

    with pytest.raises(errors.LogDamaged, match=f"archived: {LOCKED}; stop the operator") as no:
        archive_journal(path / "operator.db")
    assert "database is locked" not in str(no.value)
    with pytest.raises(errors.LogDamaged, match=f"archived: {LOCKED}; stop the service") as no:
        archive(journal_path(path / "operator.db"))
    assert "database is locked" not in str(no.value)
