"""Downtime totals, compared with a count second by second."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from committees import make_members
from dragon import errors
from dragon.encoding import canonical
from dragon.log.downtime import Totals, settled_claim, totals
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.event import Event
from dragon.protocol.rounds import Rounds
from dragon.protocol.state import History, Mark, State, Transition
from dragon.protocol.succession import Known
from dragon.storage.database import Database

ROUNDS = Rounds(0, 2)  # unknown_after is 48 s
NODE = "operator_2"


@dataclass(frozen=True)
class Past:
    """Transitions and checkpoints in the order of the log."""

    state: State

    @classmethod
    def of(cls, moves: list[int], marks: list[int]) -> Past:
        """Create transitions that alternate, beginning with up, with positions in order of time."""
        order = sorted([(time, "move") for time in moves] + [(time, "mark") for time in marks])
        statuses = [Status.UP, Status.DOWN] * len(moves)
        transitions = [
            Transition(statuses[at], time, order.index((time, "move")))
            for at, time in enumerate(moves)
        ]
        checkpoints = [
            Mark(order.index((time, "mark")), bytes(32), time, order.index((time, "mark")), ROUNDS)
            for time in marks
        ]
        nodes = {NODE: History(transitions)} if transitions else {}
        known = Known.of([make_members().committee])
        return cls(State(known, nodes, History(checkpoints), size=len(order)))

    def totals(self, begin: int, end: int, size: int | None = None) -> Totals:
        size = self.state.size if size is None else size
        return totals(self.state, size, NODE, (begin, end))

    def counted(self, begin: int, end: int) -> Totals:
        """Compute the totals by classifying every second."""
        seconds = [self._second(second) for second in range(begin, end)]
        return Totals(seconds.count("down"), seconds.count("unknown"))

    def _second(self, second: int) -> str:
        moves = list(self.state.nodes.get(NODE, []))
        marks = [mark.timestamp for mark in self.state.marks]
        before = [time for time in marks if time <= second]
        after = [time for time in marks if time > second]
        covered = bool(before and after) and after[0] - before[-1] <= ROUNDS.unknown_after
        known = [move for move in moves if move.timestamp <= second]
        if not known or not covered:
            return "unknown"
        return str(known[-1].status)


TIMES = st.lists(st.integers(0, 400), unique=True, max_size=12).map(sorted)
PASTS = st.builds(Past.of, TIMES, TIMES)
INSTANT = st.integers(0, 420)


@settings(deadline=None)
@given(PASTS, INSTANT, INSTANT)
@example(Past.of([0, 10, 20], [0, 30, 60]), 0, 60)
def test_totals_equal_a_count_of_the_seconds(past: Past, one: int, other: int) -> None:
    begin, end = min(one, other), max(one, other) + 1

    assert past.totals(begin, end) == past.counted(begin, end)


@settings(deadline=None)
@given(PASTS, INSTANT, INSTANT, INSTANT)
def test_splitting_an_interval_changes_nothing(past: Past, a: int, b: int, c: int) -> None:
    first, middle, last = sorted((a, b, c))

    whole = past.totals(first, last + 1)
    parts = [past.totals(first, middle), past.totals(middle, last + 1)]

    assert whole.seconds_down == sum(part.seconds_down for part in parts)
    assert whole.seconds_unknown == sum(part.seconds_unknown for part in parts)


@given(PASTS, INSTANT, INSTANT)
def test_down_and_unknown_do_not_exceed_the_interval(past: Past, one: int, other: int) -> None:
    begin, end = min(one, other), max(one, other) + 1

    found = past.totals(begin, end)

    assert found.seconds_down >= 0
    assert found.seconds_unknown >= 0
    assert found.seconds_down + found.seconds_unknown <= end - begin


def test_an_outage_covered_by_checkpoints_is_counted_exactly() -> None:
    past = Past.of([0, 10, 25], [0, 20, 40, 60])

    assert past.totals(0, 60) == Totals(15, 0)
    assert past.totals(12, 20) == Totals(8, 0)


def test_unknown_takes_precedence_over_down() -> None:
    past = Past.of([0, 10, 100], [0, 20, 90, 110])

    assert past.totals(0, 110) == Totals(seconds_down=10 + 10, seconds_unknown=70)


def test_a_node_is_unknown_before_its_first_event() -> None:
    assert Past.of([30], [0, 20, 40, 60]).totals(0, 60) == Totals(0, 30)


def test_everything_is_unknown_before_the_first_checkpoint() -> None:
    assert Past.of([0, 5, 10], [20, 40]).totals(0, 40) == Totals(0, 20)


def test_the_time_after_the_last_checkpoint_is_unknown() -> None:
    assert Past.of([0, 5], [0, 20]).totals(0, 100) == Totals(15, 80)


def test_a_gap_of_exactly_unknown_after_is_known() -> None:
    assert Past.of([0], [0, 48]).totals(0, 48) == Totals(0, 0)
    assert Past.of([0], [0, 49]).totals(0, 49) == Totals(0, 49)


def test_without_a_checkpoint_everything_is_unknown() -> None:
    assert Past.of([0, 5], []).totals(0, 100) == Totals(0, 100)


def test_only_the_first_entries_count_when_a_size_is_given() -> None:
    past = Past.of([0, 10, 30], [1, 20, 40])

    assert past.totals(0, 40) == Totals(20, 1)
    assert past.totals(0, 40, size=4) == Totals(10, 1 + 20)  # the log ended at second 20


def test_a_settled_claim_ends_with_the_checkpoint_that_settles_it(tmp_path: Path) -> None:
    """Without that checkpoint, the time since the one before it would be unknown."""
    members = make_members()
    committee, rounds = members.committee, members.committee.rounds
    database = Database(tmp_path / "operator.db", LOG_SCHEMA)
    log = Log(database, committee)

    def put(event: Event) -> None:
        index = log.position.index + 1
        body = canonical([event.to_json()]).decode()
        log.take(ProvenBatch(index, body, 0, "{}", Position(index, f"{index:032x}")))

    put(members.status(NODE, Status.UP, 1))
    for round_ in (2, 20, 33):
        claim = CheckpointClaim(log.head().size, log.head().root, rounds.start(round_))
        put(members.certify(claim, members.secrets))
    interval = (rounds.start(5), rounds.start(20) - rounds.max_age + rounds.seconds)
    reached = interval[1] + rounds.settled_after

    with pytest.raises(errors.NotSettled):
        settled_claim(log, NODE, interval, reached)
    claimed = settled_claim(log, NODE, interval, reached + 0.001)
    database.close()

    assert log.state.marks[2].position == 3
    assert (claimed.size, claimed.seconds_down, claimed.seconds_unknown) == (4, 0, 0)
