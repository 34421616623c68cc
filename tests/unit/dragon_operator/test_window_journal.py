"""Decisions on windows: strangers cannot make the journal grow, and nothing is decided twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from dragon.errors import AttestationRefused
from dragon.protocol.claims.window import InvalidReason, Verdict, WindowClaim
from dragon.storage.database import Database
from dragon_operator import window_journal
from dragon_operator.journal import SCHEMA
from dragon_operator.window_journal import WindowJournal

KNOWN = bytes([1]) * 32
MOST = 4  # decisions of new streams that are kept here


def stranger(number: int) -> bytes:
    return number.to_bytes(32, "big")


def valid(stream: bytes, number: int = 0, header: bytes = b"one", at: int = 0) -> WindowClaim:
    reason = InvalidReason.NONE
    return WindowClaim(
        stream, number, stream, header, Verdict.VALID, reason, b"proof", "standard", at
    )


def refuted(stream: bytes, proof: bytes, reason: InvalidReason, at: int = 0) -> WindowClaim:
    return WindowClaim(stream, 0, stream, b"one", Verdict.INVALID, reason, proof, "standard", at)


def is_known(stream: bytes) -> bool:
    return stream == KNOWN


def none_in_log(_: bytes) -> int:
    return 0


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(window_journal, "MAX_NEW_DECISIONS", MOST)
    made = Database(tmp_path / "journal.db", SCHEMA)
    with made.write() as connection:
        connection.execute(text("INSERT INTO journal_owner VALUES (1, '0x', 'me', '0xab', 0)"))
    yield made
    made.close()


@pytest.fixture
def decisions(database: Database) -> WindowJournal:
    return WindowJournal(database)


def count(database: Database, table: str) -> int:
    with database.read() as connection:
        return int(connection.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar_one())


def refusal(decisions: WindowJournal, claim: WindowClaim, windows: int = 0) -> str:
    """The refusal reason; empty if the decision is recorded."""
    try:
        decisions.decide(claim, windows)
    except AttestationRefused as refused_:
        return str(refused_.reason)
    return ""


def fill(decisions: WindowJournal, streams: int, *, after: int = 0) -> None:
    """Decide a window of each of many new streams, and prune."""
    for number in range(streams):
        decisions.decide(valid(stranger(1000 + number), at=after + number), 0)
        decisions.decide(
            refuted(stranger(1000 + number), b"p", InvalidReason.STARK, at=after + number), 0
        )
    decisions.prune(is_known, none_in_log)


def test_decisions_on_new_streams_are_bounded(decisions: WindowJournal, database: Database) -> None:
    fill(decisions, 50)

    assert count(database, "journal_window") == MOST
    assert count(database, "journal_refuted") == MOST
    assert refusal(decisions, valid(stranger(1049))) == ""  # the newest are kept


def test_a_window_whose_decision_was_deleted_is_not_decided_again(
    decisions: WindowJournal,
) -> None:
    """Not even as before: the operator does not know any more what it signed."""
    stream = stranger(1)
    decisions.decide(valid(stream, 0), 0)
    decisions.decide(valid(stream, 2), 0)
    fill(decisions, MOST, after=1)

    for number in (0, 1, 2):
        for header in (b"one", b"other"):
            assert refusal(decisions, valid(stream, number, header)) == "equivocation"
    assert refusal(decisions, valid(stream, 3)) == ""


def test_deleted_decisions_are_not_decided_again_after_the_stream_is_certified(
    decisions: WindowJournal,
) -> None:
    """Other operators may certify the first window, and the second was signed before."""
    stream = stranger(1)
    decisions.decide(valid(stream, 1), 0)
    fill(decisions, MOST, after=1)

    assert refusal(decisions, valid(stream, 1, b"other"), windows=1) == "equivocation"
    assert refusal(decisions, valid(stream, 2), windows=2) == ""


def test_known_streams_are_never_displaced(decisions: WindowJournal, database: Database) -> None:
    for number in range(2 * MOST):
        decisions.decide(valid(KNOWN, number), 0)
    fill(decisions, 50, after=1)

    assert count(database, "journal_window") == 3 * MOST
    for number in range(2 * MOST):
        assert refusal(decisions, valid(KNOWN, number)) == ""
        assert refusal(decisions, valid(KNOWN, number, b"other")) == "equivocation"


def test_decisions_that_the_log_has_are_deleted_first(
    decisions: WindowJournal, database: Database
) -> None:
    certified = stranger(2)
    decisions.decide(valid(certified), 0)
    for number in range(MOST):
        decisions.decide(valid(stranger(1000 + number), at=1), 0)

    decisions.prune(is_known, lambda stream: 1 if stream == certified else 0)

    assert count(database, "journal_window") == MOST
    assert count(database, "journal_pruned") == 0


def test_the_buckets_of_deleted_decisions_are_bounded(
    decisions: WindowJournal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_journal, "PRUNED_BUCKETS", 8)

    fill(decisions, 100)

    assert count(database, "journal_pruned") == 8
    assert refusal(decisions, valid(stranger(1))) == "equivocation"  # another stream of a bucket


def test_a_stored_decision_is_repeated_although_its_bucket_has_deleted_ones(
    decisions: WindowJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_journal, "PRUNED_BUCKETS", 1)

    fill(decisions, 50)

    assert refusal(decisions, valid(stranger(1049))) == ""
    assert refusal(decisions, valid(stranger(1049), header=b"other")) == "equivocation"


def test_the_oldest_decisions_are_deleted(decisions: WindowJournal) -> None:
    for number in range(3 * MOST):
        at = 100 - number
        decisions.decide(valid(stranger(number), at=at), 0)
        decisions.decide(refuted(stranger(number), b"p", InvalidReason.STARK, at), 0)

    decisions.prune(is_known, none_in_log)

    kept = [number for number in range(3 * MOST) if not refusal(decisions, valid(stranger(number)))]
    assert kept == list(range(MOST))
    root = InvalidReason.ROOT
    differing = [refusal(decisions, refuted(stranger(n), b"p", root)) for n in range(3 * MOST)]
    assert differing == MOST * ["equivocation"] + 2 * MOST * [""]


def test_decisions_on_windows_in_the_log_are_deleted_with_the_next_one(
    decisions: WindowJournal, database: Database
) -> None:
    decisions.decide(valid(KNOWN), 0)
    decisions.decide(refuted(KNOWN, b"p", InvalidReason.STARK), 0)

    decisions.decide(valid(KNOWN, 1), 1)

    assert (count(database, "journal_window"), count(database, "journal_refuted")) == (1, 0)


def test_a_streams_bucket_differs_between_journals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a stream that shares a bucket would be refused by all operators."""
    monkeypatch.setattr(window_journal, "MAX_NEW_DECISIONS", MOST)
    buckets = set()
    for token in ("0x01", "0x02"):
        database = Database(tmp_path / f"{token}.db", SCHEMA)
        with database.write() as connection:
            query = text("INSERT INTO journal_owner VALUES (1, '0x', 'me', :token, 0)")
            connection.execute(query, {"token": token})
        decisions = WindowJournal(database)
        decisions.decide(valid(stranger(1)), 0)
        fill(decisions, MOST, after=1)
        with database.read() as connection:
            buckets.add(connection.execute(text("SELECT bucket FROM journal_pruned")).scalar_one())
        database.close()

    assert len(buckets) == 2


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_pruned_no_two_valid_windows_of_one_number_are_signed(
    decisions: WindowJournal, seed: int
) -> None:
    rng, signed = random.Random(seed), dict[tuple[bytes, int], bytes]()
    log = dict[bytes, int]()
    for at in range(600):
        stream, header = stranger(rng.randrange(12)), rng.choice([b"one", b"other"])
        claim = valid(stream, log.get(stream, 0) + rng.randrange(3), header, at)
        if not refusal(decisions, claim, log.get(stream, 0)):
            assert signed.setdefault((stream, claim.number), header) == header
        if rng.random() < 0.02:
            log[stream] = log.get(stream, 0) + 1  # certified by the others
        if rng.random() < 0.1:
            decisions.prune(lambda each: each in log, lambda each: log.get(each, 0))
    assert len(signed) > MOST
