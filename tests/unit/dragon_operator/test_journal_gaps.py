"""A handover in the log that the journal does not contain is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import pytest

from committees import make_members
from dragon.log.store import Log
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.window import InvalidReason
from dragon.protocol.log_entry import LogEntry
from dragon.protocol.streams.finding import Finding
from dragon.storage.database import Database
from dragon_operator.journal import SCHEMA, Journal
from dragon_operator.journal_gaps import JournalGaps
from epochs import hand_over, successor
from streams import make_owner

OLD = make_members(4)
NEW = successor(OLD, None)
ROUNDS = OLD.committee.rounds
HANDOVER = hand_over(OLD, NEW, size=7, root=bytes(32), timestamp=ROUNDS.start(100))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "journal.db", SCHEMA)) as made:
        yield made


def noticed(database: Database, signed: HandoverClaim | None) -> bool:
    """Whether a gap is noticed if the journal has this decision and the log has the handover."""
    holder = cast("Any", SimpleNamespace(committee=OLD.committee))
    journal = Journal(database, holder)
    journal.use_log(7, lambda _: bytes(32))
    if signed is not None:
        journal.decide_handover(signed, OLD.committee, ROUNDS.genesis)
    gaps = JournalGaps(database, "operator_1", cast("Log", holder), lambda: ROUNDS.start(101))
    gaps.check([LogEntry(7, HANDOVER, 1, None, "")])
    return gaps.noticed_at != 0


@pytest.mark.parametrize(
    ("change", "is_gap"),
    [
        ({}, False),
        ({"timestamp": ROUNDS.start(101)}, False),  # it was signed again in a later round
        ({"timestamp": ROUNDS.start(99)}, True),
        ({"next": bytes(32)}, True),
        ({"epoch": 2}, False),  # so that of epoch 1 was deleted
        (None, True),
    ],
    ids=str,
)
def test_a_handover_that_the_journal_lacks(
    database: Database, change: dict[str, Any] | None, is_gap: bool
) -> None:
    signed = None if change is None else replace(HANDOVER.claim, **change)

    assert noticed(database, signed) is is_gap


def test_a_window_is_not_compared_with_the_journal(database: Database) -> None:
    """Verdicts may have been deleted, so none is missing, and the file is not read."""
    holder = cast("Any", SimpleNamespace(committee=OLD.committee))
    owner = make_owner(OLD)
    claim = Finding(InvalidReason.NONE).claim(
        owner.descriptor, owner.window([b"1"]).header, bytes(32), ROUNDS.start(100)
    )
    gaps = JournalGaps(database, "operator_1", cast("Log", holder), lambda: ROUNDS.start(101))
    with mock.patch.object(database, "read", side_effect=AssertionError("the journal is read")):
        gaps.check([LogEntry(7, OLD.certify(claim, list(OLD.secrets)), 1, None, "")])

    assert gaps.noticed_at == 0
