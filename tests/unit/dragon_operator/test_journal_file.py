"""The journal belongs to one operator's database; without it, the operator does not start."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from committees import make_members
from dragon.errors import DatabaseTooOld, DragonError, LogDamaged, WrongJournal
from dragon.log.archive import archive
from dragon.log.schema import LOG_SCHEMA
from dragon.storage.database import Database
from dragon_operator import verdict_store
from dragon_operator.journal_file import (
    ARCHIVE_CLEARS,
    archive_journal,
    journal_path,
    open_journal,
)

COMMITTEE, OTHER = make_members().committee, make_members(name="other").committee
NOW = 1_800_000_000.0
_numbers = itertools.count()


def entropy(size: int) -> bytes:
    return next(_numbers).to_bytes(size, "big")


@contextmanager
def opened(
    path: Path, committee: object = COMMITTEE, operator: str = "operator_1"
) -> Iterator[Database]:
    database = Database(path, LOG_SCHEMA, verdict_store.SCHEMA)
    try:
        journal = open_journal(
            database,
            committee,  # type: ignore[arg-type]
            operator,
            entropy=entropy,
            wall=lambda: NOW,
        )
        try:
            yield journal
        finally:
            journal.close()
    finally:
        database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of an operator that was started once."""
    path = tmp_path / "operator.db"
    with opened(path):
        pass
    return path


def delete(path: Path) -> None:
    for file in path.parent.glob(path.name + "*"):
        file.unlink()


def test_the_journal_lies_beside_the_database(path: Path) -> None:
    assert journal_path(path) == path.with_name("operator-journal.db")
    assert journal_path(path).is_file()
    with opened(path):
        pass


def test_an_operator_without_its_journal_does_not_start(path: Path) -> None:
    delete(journal_path(path))

    for _ in range(2):
        with pytest.raises(WrongJournal, match=r"journal\.db is missing"), opened(path):
            pass
        assert not journal_path(path).exists()


def test_an_operator_with_the_journal_of_another_database_does_not_start(
    path: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "operator.db"
    with opened(other):
        pass

    delete(journal_path(path))
    journal_path(other).rename(journal_path(path))

    with pytest.raises(WrongJournal, match="is another journal"), opened(path):
        pass


def test_an_empty_file_is_no_journal(path: Path) -> None:
    delete(journal_path(path))
    journal_path(path).touch()

    with pytest.raises(WrongJournal), opened(path):
        pass


@pytest.mark.parametrize(
    ("committee", "operator"), [(OTHER, "operator_1"), (COMMITTEE, "operator_2")]
)
def test_the_journal_of_another_operator_or_committee_is_refused(
    path: Path, committee: object, operator: str
) -> None:
    said = "is the journal of operator_1 in network"
    with pytest.raises(WrongJournal, match=said), opened(path, committee, operator):
        pass
    with opened(path):
        pass


def test_a_journal_outlives_its_database(path: Path) -> None:
    """The log can be read again from the ledger; the journal cannot."""
    delete(path)

    with opened(path):
        pass
    delete(journal_path(path))

    with pytest.raises(WrongJournal), opened(path):
        pass


def test_a_crash_before_the_database_expects_the_journal_is_repaired(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM journal_file")

    with opened(path):
        pass

    with closing(sqlite3.connect(path)) as database:
        [[token]] = database.execute("SELECT token FROM journal_file").fetchall()
    with closing(sqlite3.connect(journal_path(path))) as journal:
        assert journal.execute("SELECT token FROM journal_owner").fetchall() == [(token,)]


def test_an_archived_journal_makes_room_for_that_of_another_committee(path: Path) -> None:
    archive(path, ARCHIVE_CLEARS)

    archived = archive_journal(path)

    assert archived == path.with_name("operator-journal.db.archived-1")
    assert not list(path.parent.glob("operator-journal.db-*"))
    with opened(path, OTHER):
        pass
    assert archive_journal(path) == path.with_name("operator-journal.db.archived-2")
    assert archive_journal(path) is None


def test_a_journal_in_use_is_not_archived(path: Path) -> None:
    with opened(path) as journal, journal.read() as connection:
        connection.exec_driver_sql("SELECT * FROM journal_owner").all()
        with pytest.raises(LogDamaged, match="stop the operator that uses it"):
            archive_journal(path)


def old_database(path: Path) -> None:
    """A database as version 0.1 made it: the journal is in the same file."""
    config, database = Config(), Database(path)
    config.set_main_option("script_location", verdict_store.SCHEMA)
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "journal_0003")
    database.close()


@pytest.mark.usefixtures("computed_anew")
def test_a_journal_of_version_0_1_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "operator.db"
    old_database(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO journal_status VALUES ('operator_2', 7, 'down')")

    for _ in range(2):
        with pytest.raises(DatabaseTooOld, match="found a new committee"), opened(path):
            pass

    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT COUNT(*) FROM journal_status").fetchone() == (1,)
    assert not journal_path(path).exists()


@pytest.mark.usefixtures("computed_anew")
def test_an_empty_journal_of_version_0_1_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "operator.db"
    old_database(path)

    with opened(path):
        pass

    with closing(sqlite3.connect(path)) as database:
        names = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    assert {"verdicts", "journal_file"} <= names
    assert "journal_status" not in names


def test_every_refusal_is_one_sentence(path: Path) -> None:
    delete(journal_path(path))

    with pytest.raises(DragonError) as refused, opened(path):
        pass

    assert "\n" not in str(refused.value)
    assert ". " not in str(refused.value)
