"""A damaged journal of signed claims keeps the operator from starting."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from committees import make_members
from dragon.errors import LogDamaged
from dragon.log.schema import LOG_SCHEMA
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.storage.database import Database
from dragon_operator import verdict_store
from dragon_operator.journal import Journal
from dragon_operator.journal_file import journal_path, open_journal

COMMITTEE = make_members().committee


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An operator's database, whose journal has one decision."""
    path = tmp_path / "operator.db"
    use(path, lambda journal: journal.decide(claim(), COMMITTEE.rounds.genesis))
    return path


def claim() -> StatusClaim:
    return StatusClaim("operator_2", Status.UP, COMMITTEE.rounds.start(1))


def use(path: Path, do: Callable[[Journal], object]) -> None:
    database = Database(path, LOG_SCHEMA, verdict_store.SCHEMA)
    try:
        journal = open_journal(
            database, COMMITTEE, "operator_1", entropy=bytes, wall=lambda: 1_800_000_000.0
        )
        try:
            do(Journal(journal, COMMITTEE.rounds))
        finally:
            journal.close()
    finally:
        database.close()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE journal_status SET status = 'uq'", "a decision has an unknown status"),
        ("UPDATE journal_status SET status = x'75'", "column status has a value of a wrong type"),
        ("UPDATE journal_status SET round = 'x'", "column round has a value of a wrong type"),
        ("ALTER TABLE journal_status RENAME COLUMN round TO Round", "has no column round"),
        ("ALTER TABLE journal_owner RENAME TO other", "the table journal_owner is missing"),
    ],
)
def test_damage_is_refused_at_start(path: Path, statement: str, message: str) -> None:
    with closing(sqlite3.connect(journal_path(path))) as file, file:
        file.execute(statement)

    with pytest.raises(LogDamaged, match=message):
        use(path, lambda journal: journal.recall("operator_2", 1))


def test_a_damaged_page_is_refused_at_start(path: Path) -> None:
    """The page of a table, as SQLite describes it, becomes random bytes."""
    with closing(sqlite3.connect(journal_path(path))) as file:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'journal_status'"
        [page] = file.execute(query).fetchone()
    content = bytearray(journal_path(path).read_bytes())
    content[4096 * (page - 1) : 4096 * page] = b"\xff\x00\x7f\x80" * 1024
    journal_path(path).write_bytes(content)

    with pytest.raises(LogDamaged, match="is damaged"):
        use(path, lambda journal: journal.recall("operator_2", 1))
