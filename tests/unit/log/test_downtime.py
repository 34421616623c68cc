"""Totals of downtime and maintenance, compared with a count second by second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from committees import make_members
from dragon import errors
from dragon.encoding import canonical
from dragon.log.downtime import Totals, settled_claim, totals
from dragon.log.downtime_index import DowntimeIndex
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.maintenance import Announced, MaintenanceWindow
from dragon.protocol.claims.status import Status
from dragon.protocol.event import Event
from dragon.protocol.rounds import Rounds
from dragon.protocol.state import History, Mark, State, Transition
from dragon.protocol.succession import Known
from dragon.storage.database import Database

ROUNDS = Rounds(0, 2)  # unknown_after is 48 s
NODE = "operator_2"
Window = tuple[int, int, int]  # when it is announced, begins and ends, in seconds


@dataclass(frozen=True)
class Past:
    """Transitions, checkpoints and announced maintenance in the order of the log."""

    state: State

    @classmethod
    def of(cls, moves: list[int], marks: list[int], windows: Sequence[Window] = ()) -> Past:
        """Create transitions that alternate, beginning with up, with positions in order of time.

        A window is announced right before the first event of the second or after it.
        """
        order = sorted(
            [(time, "move", 0, 0) for time in moves]
            + [(time, "mark", 0, 0) for time in marks]
            + [(said, "a window", begin, end) for said, begin, end in windows]
        )
        statuses = [Status.UP, Status.DOWN] * len(moves)
        transitions = [
            Transition(statuses[at], time, order.index((time, "move", 0, 0)))
            for at, time in enumerate(moves)
        ]
        checkpoints = [
            Mark(position, bytes(32), time, position, ROUNDS)
            for position, (time, what, *_) in enumerate(order)
            if what == "mark"
        ]
        announced, now = Announced(), 0
        for position, (time, what, begin, end) in enumerate(order):
            now = time if what == "mark" else now
            if what == "a window":
                assert begin >= now
                window = MaintenanceWindow(end, begin, time, position)
                announced = announced.appended(window, now)
        nodes = {NODE: History(transitions)} if transitions else {}
        known = Known.of([make_members().committee])
        return cls(
            State(
                known,
                nodes,
                History(checkpoints),
                size=len(order),
                maintenance={NODE: announced},
            )
        )

    def windows(self, size: int) -> list[tuple[int, int]]:
        """All windows [begin, end) that are announced in the first `size` entries."""
        announced = self.state.announced(NODE)
        listed = [*announced.ended, *announced.latest]
        return [(each.begin, each.end) for each in listed if each.position < size]

    def upto(self, size: int) -> State:
        """The state of the first `size` entries."""
        announced, now = Announced(), 0
        marks = [mark for mark in self.state.marks if mark.position < size]
        whole = self.state.announced(NODE)
        for window in sorted([*whole.ended, *whole.latest], key=lambda each: each.position):
            now = max((m.timestamp for m in marks if m.position < window.position), default=0)
            if window.position < size:
                announced = announced.appended(window, now)
        moves = [each for each in self.state.nodes.get(NODE, []) if each.position < size]
        nodes = {NODE: History(moves)} if moves else {}
        return replace(
            self.state, nodes=nodes, marks=History(marks), size=size, maintenance={NODE: announced}
        )

    def totals(self, begin: int, end: int, size: int | None = None) -> Totals:
        size = self.state.size if size is None else size
        return totals(self.state, size, NODE, (begin, end))

    def counted(self, begin: int, end: int, size: int | None = None) -> Totals:
        """Compute the totals by classifying every second."""
        size = self.state.size if size is None else size
        windows = self.windows(size)
        seconds = [self._second(second, size) for second in range(begin, end)]
        announced = [
            any(first <= second < last for first, last in windows) for second in range(begin, end)
        ]
        both = [said for said, is_announced in zip(seconds, announced, strict=True) if is_announced]
        return Totals(seconds.count("down"), seconds.count("unknown"), both.count("down"))

    def _second(self, second: int, size: int) -> str:
        moves = [each for each in self.state.nodes.get(NODE, []) if each.position < size]
        marks = [mark.timestamp for mark in self.state.marks if mark.position < size]
        before = [time for time in marks if time <= second]
        after = [time for time in marks if time > second]
        covered = bool(before and after) and after[0] - before[-1] <= ROUNDS.unknown_after
        known = [move for move in moves if move.timestamp <= second]
        if not known or not covered:
            return "unknown"
        return str(known[-1].status)


TIMES = st.lists(st.integers(0, 400), unique=True, max_size=12).map(sorted)
SPANS = st.tuples(st.integers(0, 400), st.integers(0, 120), st.integers(1, 120))


def windows_of(spans: list[tuple[int, int, int]]) -> list[Window]:
    """Return windows that are announced so long before they begin, and have that length."""
    return sorted({(said, said + ahead, said + ahead + seconds) for said, ahead, seconds in spans})


PASTS = st.builds(Past.of, TIMES, TIMES, st.lists(SPANS, max_size=8).map(windows_of))
INSTANT = st.integers(0, 420)


@settings(deadline=None)
@given(PASTS, INSTANT, INSTANT)
@example(Past.of([0, 10, 20], [0, 30, 60]), 0, 60)
@example(Past.of([0, 10, 40], [0, 30, 60], [(0, 5, 15), (0, 12, 20), (31, 35, 50)]), 0, 60)
def test_totals_equal_a_count_of_the_seconds(past: Past, one: int, other: int) -> None:
    begin, end = min(one, other), max(one, other) + 1

    assert past.totals(begin, end) == past.counted(begin, end)


@settings(deadline=None)
@given(PASTS, INSTANT, INSTANT, st.integers(0, 30))
def test_totals_at_a_former_size_equal_a_count(past: Past, a: int, b: int, size: int) -> None:
    begin, end, size = min(a, b), max(a, b) + 1, min(size, past.state.size)

    assert past.totals(begin, end, size) == past.counted(begin, end, size)


@settings(deadline=None)
@given(PASTS, INSTANT, INSTANT, st.sets(st.integers(0, 30)))
def test_totals_do_not_depend_on_when_a_log_was_read(
    past: Past, one: int, other: int, sizes: set[int]
) -> None:
    """A running log adds each batch to its sums, and a restarted one adds all of them at once."""
    begin, end = min(one, other), max(one, other) + 1
    index = DowntimeIndex()
    for size in [*sorted(size for size in sizes if size < past.state.size), past.state.size]:
        index.extend(past.upto(size))

        assert index.totals(size, NODE, (begin, end)) == past.counted(begin, end, size)


@given(PASTS, INSTANT, INSTANT)
def test_the_seconds_of_an_interval_are_up_down_or_unknown(past: Past, a: int, b: int) -> None:
    begin, end = min(a, b), max(a, b) + 1
    found = past.totals(begin, end)
    seconds = (found.seconds_down, found.seconds_unknown)
    claim = DowntimeClaim(
        NODE, begin, end, found.seconds_down, found.seconds_maintenance, seconds[1], 1, bytes(32)
    )

    assert claim.seconds_up + sum(seconds) == end - begin
    assert claim.seconds_up == sum(
        past._second(each, past.state.size) == "up" for each in range(begin, end)
    )
    assert 0 <= found.seconds_maintenance <= found.seconds_down


@settings(deadline=None)
@given(PASTS, INSTANT, INSTANT, INSTANT)
def test_splitting_an_interval_changes_nothing(past: Past, a: int, b: int, c: int) -> None:
    first, middle, last = sorted((a, b, c))

    whole = past.totals(first, last + 1)
    parts = [past.totals(first, middle), past.totals(middle, last + 1)]

    assert whole.seconds_down == sum(part.seconds_down for part in parts)
    assert whole.seconds_unknown == sum(part.seconds_unknown for part in parts)
    assert whole.seconds_maintenance == sum(part.seconds_maintenance for part in parts)


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


def test_maintenance_is_part_of_down() -> None:
    past = Past.of([0, 10, 30], [0, 20, 40], [(0, 5, 15), (0, 25, 35)])

    assert past.totals(0, 40) == Totals(20, 0, seconds_maintenance=5 + 5)
    assert past.totals(0, 10) == Totals(0, 0, 0)  # announced, and up
    assert past.totals(15, 25) == Totals(10, 0, 0)  # down, and not announced


def test_overlapping_windows_count_each_second_once() -> None:
    windows = [(0, 10, 20), (0, 12, 18), (0, 15, 25), (0, 25, 26)]
    past = Past.of([0, 5, 40], [0, 20, 40], windows)

    assert past.totals(0, 40) == Totals(35, 0, seconds_maintenance=16)


def test_unknown_takes_precedence_over_maintenance() -> None:
    past = Past.of([0, 10, 100], [0, 20, 90, 110], [(0, 5, 110)])

    assert past.totals(0, 110) == Totals(10 + 10, 70, seconds_maintenance=10 + 10)


def test_maintenance_that_was_announced_later_changes_nothing_before() -> None:
    past = Past.of([0, 10], [0, 20, 40], [(20, 20, 40)])
    size = next(mark.position for mark in past.state.marks if mark.timestamp == 20) + 1

    assert past.totals(0, 40, size) == Totals(10, 20, 0)
    assert past.totals(0, 40) == Totals(30, 0, seconds_maintenance=20)


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
