"""Decisions to sign reports on periods: one report for each period and log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from committees import make_members
from dragon.errors import AttestationRefused
from dragon.protocol.claims.period import PeriodClaim
from dragon.storage.database import Database
from dragon_operator import period_journal
from dragon_operator.journal import SCHEMA, Journal
from dragon_operator.period_journal import PERIOD_TTL_SECONDS

NOW = 1_732_600_000
CLAIM = PeriodClaim(1000, 2000, 5, bytes([1]) * 32, bytes([2]) * 32, 100)
OTHERS = [replace(CLAIM, report=bytes(32)), replace(CLAIM, nodes=6)]


@contextmanager
def opened(path: Path) -> Iterator[Journal]:
    database = Database(path, SCHEMA)
    try:
        yield Journal(database, make_members())
    finally:
        database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "operator-journal.db"


def count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        [rows] = database.execute("SELECT COUNT(*) FROM journal_period").fetchone()
        return int(rows)


def is_equivocation(journal: Journal, claim: PeriodClaim, log_time: int = NOW) -> bool:
    with pytest.raises(AttestationRefused) as asked:
        journal.is_signed(claim)
    with pytest.raises(AttestationRefused) as decided:
        journal.decide_period(claim, log_time)
    return asked.value.reason == decided.value.reason == "equivocation"


def test_the_same_report_is_signed_again_and_no_other(path: Path) -> None:
    with opened(path) as journal:
        assert not journal.is_signed(CLAIM)
        journal.decide_period(CLAIM, NOW)
    with opened(path) as journal:
        assert journal.is_signed(CLAIM)
        journal.decide_period(CLAIM, NOW + 60)
        assert all(is_equivocation(journal, other) for other in OTHERS)
    assert count(path) == 1


def test_another_period_or_size_is_another_decision(path: Path) -> None:
    with opened(path) as journal:
        journal.decide_period(CLAIM, NOW)
        for change in ({"begin": 999}, {"end": 2001}, {"size": 101}):
            other = replace(CLAIM, report=bytes(32), **change)
            assert not journal.is_signed(other)
            journal.decide_period(other, NOW)
    assert count(path) == 4


def test_a_decision_is_kept_for_30_days_of_log_time(path: Path) -> None:
    with opened(path) as journal:
        journal.decide_period(CLAIM, NOW)
        journal.decide_period(replace(CLAIM, begin=999), NOW + PERIOD_TTL_SECONDS)
        assert is_equivocation(journal, OTHERS[0], NOW + PERIOD_TTL_SECONDS)
        journal.decide_period(replace(CLAIM, begin=998), NOW + PERIOD_TTL_SECONDS + 1)
        assert not journal.is_signed(OTHERS[0])
    assert count(path) == 2


def test_the_number_of_rows_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first."""
    monkeypatch.setattr(period_journal, "MAX_PERIOD_ROWS", 3)
    with opened(path) as journal:
        for begin in range(1, 7):
            journal.decide_period(replace(CLAIM, begin=begin), NOW)

        signed = [journal.is_signed(replace(CLAIM, begin=begin)) for begin in range(1, 7)]

    assert signed == [False] * 3 + [True] * 3
    assert count(path) == 3
