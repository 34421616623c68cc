"""Reports on all nodes in a period, compared with the downtime of each node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from committees import GENESIS, Members, make_members
from dragon import errors
from dragon.log.downtime import totals
from dragon.log.downtime_index import DowntimeIndex, Totals
from dragon.log.listed_nodes import ListedNodes
from dragon.log.period import nodes_of, report_at, settled_report
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log, TreeHead
from dragon.protocol import merkle
from dragon.protocol.claims.base import EventClaim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.claims.period import MAX_PERIOD_NODES, PeriodClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import Committee, Target
from dragon.protocol.period import PeriodLeaf
from dragon.protocol.state import State
from dragon.protocol.transition import advance
from dragon.storage.database import Database
from epoch_log import EpochLog, opened, pass_three_handovers
from epochs import successor

ROUND: Final = 5
UP, DOWN = Status.UP, Status.DOWN
FOUNDERS: Final = make_members(4, targets=2)
IDS: Final = ("target_1", "target_2", "target_3")


def targets(*ids: str) -> tuple[Target, ...]:
    return tuple(Target(each, f"http://{each.replace('_', '-')}:80") for each in ids)


@dataclass
class Past:
    """The state of a log whose claims nobody has signed, with the indexes of a running log."""

    state: State = field(default_factory=lambda: State.of(FOUNDERS.committee))
    committees: list[Members] = field(default_factory=lambda: [FOUNDERS])
    downtime: DowntimeIndex = field(default_factory=DowntimeIndex)

    def apply(self, claim: EventClaim, following: Committee | None = None) -> None:
        self.state = advance(self.state, claim, following)
        self.downtime.extend(self.state)

    def status(self, node_id: str, status: Status, time: int) -> None:
        self.apply(StatusClaim(node_id, status, time))

    def checkpoint(self, time: int) -> None:
        if time > self.state.log_time:
            self.apply(CheckpointClaim(self.state.size, bytes(32), time))

    def announce(self, node_id: str, begin: int, seconds: int) -> None:
        """Announce maintenance that begins after log time."""
        begin = max(begin, self.state.log_time + 1)
        self.apply(MaintenanceClaim(node_id, begin, begin + seconds, self.state.log_time))

    def hand_over(self, time: int, listed: tuple[str, ...]) -> None:
        before = self.committees[-1]
        following = successor(before, None, targets=targets(*listed))
        epoch, next_ = following.committee.epoch, following.committee
        self.apply(HandoverClaim(epoch, next_.id, bytes(32), self.state.size, time), next_)
        self.committees.append(following)

    @cached_property
    def _listed(self) -> ListedNodes:
        listed = ListedNodes()
        listed.extend([each.committee for each in self.committees], self.state)
        return listed

    def head(self, size: int) -> TreeHead:
        return TreeHead(size, bytes(32))

    def totals(self, size: int, node_id: str, interval: tuple[int, int]) -> Totals:
        return self.downtime.totals(size, node_id, interval)

    def listed_nodes(self, size: int, interval: tuple[int, int]) -> list[str]:
        return self._listed.during(size, interval)

    def leaves(self, begin: int, end: int, size: int | None = None) -> dict[str, PeriodLeaf]:
        """The leaves of a report by node; none if it has no node."""
        size = self.state.size if size is None else size
        try:
            _, leaves = report_at(self, (GENESIS + begin, GENESIS + end), size=size)
        except errors.UnsuitablePeriod:
            return {}
        return {leaf.node_id: leaf for leaf in leaves}


# Most gaps between checkpoints are shorter than 24 rounds, after which the time is unknown.
WHATS: Final = (
    *("up", "down", "down", "checkpoint", "checkpoint", "checkpoint", "checkpoint"),
    *("maintenance", "maintenance", "late", "hand over"),
)
STEPS = st.tuples(
    st.integers(1, 8),  # rounds since the step before
    st.sampled_from(WHATS),
    st.sampled_from(IDS),
)


@st.composite
def pasts(draw: st.DrawFn) -> Past:
    """A log in which targets come and go, with events after the timestamp of a handover."""
    past, time, gone = Past(), GENESIS, set[str]()
    for rounds, what, node_id in draw(st.lists(STEPS, min_size=5, max_size=30)):
        time += rounds * ROUND
        listed = {each.id for each in past.state.committee.targets}
        last = past.state.last(node_id)
        wanted = {"up": UP, "down": DOWN}.get(what, DOWN if last and last.status is UP else UP)
        may_change = node_id in listed and (last is None or last.status is not wanted)
        if what == "checkpoint":
            past.checkpoint(time)
        elif what == "maintenance":
            past.announce(node_id, time, 30 * rounds)
        elif what in ("up", "down") and may_change:
            past.status(node_id, wanted, time)
        elif what == "late" and may_change:  # a handover of the round before follows it
            past.status(node_id, wanted, time)
            gone |= {node_id}
            past.hand_over(time - ROUND + 1, tuple(sorted(listed - gone)))
        elif what == "hand over":
            gone |= {node_id} & listed
            new = set() if node_id in gone else {node_id}
            past.hand_over(time, tuple(sorted((listed | new) - gone)))
    return past


TIMES = st.integers(-50, 1000)


@settings(deadline=None)
@given(pasts(), TIMES, TIMES, st.integers(0, 30))
def test_period_equals_downtime(past: Past, one: int, other: int, size: int) -> None:
    """Of a log that has added each event to its sums, and of one that adds all of them at once."""
    begin, end = min(one, other), max(one, other) + 1
    size = min(size, past.state.size)

    for node_id, leaf in past.leaves(begin, end, size).items():
        interval = (GENESIS + begin, GENESIS + end)
        downtime = totals(past.state, size, node_id, interval)
        assert leaf.seconds_down == downtime.seconds_down
        assert leaf.seconds_maintenance == downtime.seconds_maintenance
        assert leaf.seconds_unknown == downtime.seconds_unknown


@settings(deadline=None)
@given(pasts(), TIMES, TIMES, TIMES)
def test_splitting_a_period_changes_nothing(past: Past, a: int, b: int, c: int) -> None:
    """A node that a part does not have was unknown in it."""
    first, middle, last = sorted((a, b, c))
    bounds = [(first, middle), (middle, last + 1)]

    whole = past.leaves(first, last + 1)
    parts = [(past.leaves(*part), part[1] - part[0]) for part in bounds]

    assert whole.keys() == {node_id for leaves, _ in parts for node_id in leaves}
    for node_id, leaf in whole.items():
        found = [
            leaves.get(node_id, PeriodLeaf(node_id, 0, 0, seconds)) for leaves, seconds in parts
        ]
        assert leaf.seconds_down == sum(each.seconds_down for each in found)
        assert leaf.seconds_maintenance == sum(each.seconds_maintenance for each in found)
        assert leaf.seconds_unknown == sum(each.seconds_unknown for each in found)


@settings(deadline=None)
@given(pasts(), TIMES, TIMES)
def test_a_node_is_listed_second_by_second(past: Past, one: int, other: int) -> None:
    """The model looks at each second on its own."""
    begin, end = min(one, other), min(one, other) + abs(one - other) % 300 + 1
    seats = [GENESIS, *(each.timestamp for each in past.state.handovers), 1 << 40]

    expected = {
        node_id
        for second in range(GENESIS + begin, GENESIS + end)
        for members, seat, until in zip(past.committees, seats[:-1], seats[1:], strict=True)
        for node_id in members.committee.urls
        if seat <= second < until
    }

    late = {
        node_id
        for node_id, moves in past.state.nodes.items()
        if moves[-1].status is None
        and any(seat <= GENESIS + begin < moves[-1].timestamp for seat in seats)
    }
    found = set(past.leaves(begin, end))
    assert expected <= found <= expected | late


def test_a_leaf_states_the_announced_part_of_an_outage() -> None:
    past = Past()
    past.checkpoint(GENESIS + 5)
    past.announce("target_1", GENESIS + 60, 30)
    past.status("target_1", UP, GENESIS + 10)
    past.status("target_1", DOWN, GENESIS + 50)
    past.checkpoint(GENESIS + 100)

    assert past.leaves(10, 100)["target_1"] == PeriodLeaf("target_1", 50, 30, 0)


# -- which nodes -----------------------------------------------------------------------------------


def test_a_node_has_a_leaf_if_it_was_listed_for_a_second() -> None:
    past = Past()
    past.hand_over(GENESIS + 100, ("target_2", "target_3"))
    operators = [f"operator_{number}" for number in range(1, 5)]

    assert list(past.leaves(0, 100)) == [*operators, "target_1", "target_2"]
    assert list(past.leaves(0, 101)) == [*operators, "target_1", "target_2", "target_3"]
    assert list(past.leaves(99, 101)) == [*operators, "target_1", "target_2", "target_3"]
    assert list(past.leaves(100, 101)) == [*operators, "target_2", "target_3"]


def test_only_handovers_among_the_first_entries_count() -> None:
    past = Past()
    past.status("target_1", UP, GENESIS + 5)
    past.hand_over(GENESIS + 100, ("target_2", "target_3"))

    assert "target_1" in past.leaves(200, 300, size=1)
    assert "target_3" not in past.leaves(200, 300, size=1)
    assert "target_1" not in past.leaves(200, 300, size=2)
    assert "target_3" in past.leaves(200, 300, size=2)


def test_a_removed_node_is_listed_until_its_last_event() -> None:
    """The log applies an event of the next round before the handover of this one."""
    past = Past()
    past.checkpoint(GENESIS + 5)
    past.status("target_1", DOWN, GENESIS + 10)
    past.status("target_1", UP, GENESIS + 105)
    past.hand_over(GENESIS + 100, ("target_2",))
    past.checkpoint(GENESIS + 110)

    assert past.leaves(100, 110)["target_1"].seconds_down == 5
    assert "target_1" not in past.leaves(105, 110)


def test_a_node_without_an_event_is_unknown() -> None:
    assert Past().leaves(0, 60)["target_1"] == PeriodLeaf("target_1", 0, 0, 60)


def test_a_period_before_genesis_has_no_node() -> None:
    past = Past()

    with pytest.raises(errors.UnsuitablePeriod) as refused:
        nodes_of(past, (GENESIS - 100, GENESIS), 0)

    assert refused.value.facts == {"nodes": 0}


def test_a_period_with_more_than_8192_nodes_is_refused() -> None:
    past = Past()
    for epoch in range(3):
        listed = [f"t{epoch}-{number:04}" for number in range(4096 if epoch < 2 else 1)]
        past.hand_over(GENESIS + 100 * (epoch + 1), tuple(listed))

    assert len(nodes_of(past, (GENESIS + 100, GENESIS + 200), past.state.size)) == 4100
    with pytest.raises(errors.UnsuitablePeriod, match="8199 nodes in this period") as refused:
        nodes_of(past, (GENESIS, GENESIS + 400), past.state.size)
    assert refused.value.facts == {"nodes": MAX_PERIOD_NODES + 7}


# -- with a log in a file --------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path) -> Iterator[EpochLog]:
    with opened(tmp_path / "operator.db") as log:
        pass_three_handovers(log)
        yield log


def at(round_: int) -> int:
    return FOUNDERS.committee.rounds.start(round_)


def test_a_log_that_is_opened_again_gives_the_same_report(made: EpochLog) -> None:
    size = made.log.head().size
    before = report_at(made.log, (at(0), at(45)), size=size)
    database = Database(made.path, LOG_SCHEMA)
    again = Log(database, made.epochs[0].committee)

    found = report_at(again, (at(0), at(45)), size=size)

    database.close()
    assert found == before
    claim, leaves = found
    assert claim == PeriodClaim(at(0), at(45), 6, claim.report, made.log.head().root, size)
    assert [leaf.node_id for leaf in leaves] == [
        *(f"operator_{number}" for number in range(1, 6)),
        "target_1",
    ]


def test_the_report_is_that_of_the_mark_that_settles_the_period(made: EpochLog) -> None:
    interval = (at(0), at(20))
    now = interval[1] + 61.0

    claim, leaves = settled_report(made.log, interval, now)

    # The handover in round 40 is the first mark that is at least 60 s later than round 20.
    assert claim.size == made.log.state.handovers[2].position + 1
    assert merkle.Tree(leaf.hash for leaf in leaves).root() == claim.report
    with pytest.raises(errors.NotSettled):
        settled_report(made.log, interval, interval[1] + 60.0)
    with pytest.raises(errors.NotSettled):
        settled_report(made.log, (at(0), at(45)), now + 10_000)


def test_the_log_must_have_as_many_entries(made: EpochLog) -> None:
    with pytest.raises(errors.NotFound):
        report_at(made.log, (at(0), at(20)), size=made.log.head().size + 1)


def test_a_later_handover_does_not_change_a_settled_report(made: EpochLog) -> None:
    interval, now = (at(0), at(20)), at(1000)
    before = settled_report(made.log, interval, now)

    made.hand_over(60, targets=targets("target_2"))
    made.checkpoint(70)

    assert settled_report(made.log, interval, now) == before
