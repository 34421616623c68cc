"""The index of outages and days, compared with a scan of the whole log."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from committees import make_members
from dragon.encoding import MAX_INTEGER
from dragon.log.downtime import totals
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol.claims.status import Status
from dragon.protocol.history import History
from dragon.protocol.marks import Mark
from dragon.protocol.state import State, Transition
from dragon.protocol.succession import Known
from dragon.storage.database import Database
from dragon_explorer.index import DAY_SECONDS, LogIndex, Outage

COMMITTEE = make_members(4, targets=3, round_seconds=300).committee
ROUNDS = COMMITTEE.rounds
DAYS = 8
KNOWN = Known.of([COMMITTEE])


class FakeLog(Log):
    """A log whose state is given."""

    def show(self, state: State) -> None:
        self._state = state
        self._downtime.extend(state)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FakeLog]:
    database = Database(tmp_path / "log.db", LOG_SCHEMA)
    yield FakeLog(database, COMMITTEE)
    database.close()


def story(seed: int) -> Iterator[State]:
    """States of a log that grows over `DAYS` days, with gaps between checkpoints."""
    draw = random.Random(seed)
    nodes: dict[str, History[Transition]] = {}
    checkpoints: History[Mark] = History()
    size = 0
    for number in range(0, DAYS * DAY_SECONDS // ROUNDS.seconds, 6):
        time = ROUNDS.start(number)
        for node in ("target_1", "target_2"):
            last = nodes.get(node)
            if draw.random() < 0.05 or last is None:
                status = Status.DOWN if last and last[-1].status is Status.UP else Status.UP
                nodes[node] = (last or History()).appended(Transition(status, time, size))
                size += 1
        if number % 12 == 0 and draw.random() < 0.9:
            checkpoints = checkpoints.appended(Mark(size, b"", time, size, ROUNDS))
            size += 1
        yield State(KNOWN, dict(nodes), checkpoints, size=size)


def scanned(state: State) -> list[Outage]:
    """All outages, newest first."""
    found = []
    for node, transitions in state.nodes.items():
        for number, each in enumerate(transitions):
            if each.status is Status.DOWN:
                after = transitions[number + 1] if number + 1 < len(transitions) else None
                end = (after.timestamp, after.position) if after else (None, None)
                found.append(Outage(node, each.position, each.timestamp, *end))
    return sorted(found, key=lambda each: each.position, reverse=True)


@pytest.mark.parametrize("seed", range(3))
def test_outages_are_those_of_a_scan_at_every_size(log: FakeLog, seed: int) -> None:
    index = LogIndex(log)
    for number, state in enumerate(story(seed)):
        log.show(state)
        if number % 40 == 0:
            expected = scanned(state)
            assert list(index.outages(MAX_INTEGER, 10_000)) == expected
            assert list(index.open_outages()) == [e for e in reversed(expected) if not e.ended]

    expected = scanned(state)
    assert len(expected) > 10
    assert index.count == len(expected)
    middle = expected[5].position
    assert list(index.outages(middle, 3)) == expected[6:9]
    one = [each for each in expected if each.node_id == "target_2"]
    assert list(index.outages_of("target_2", 4)) == one[:4]
    assert index.outages_of("target_3", 4) == []
    for each in expected:
        assert index.outage_at(each.position) == each
        if each.end_position is not None:
            assert index.outage_at(each.end_position) == each


@pytest.mark.parametrize("seed", range(3))
def test_days_and_bars_are_those_of_the_log(log: FakeLog, seed: int) -> None:
    """Also if they were asked for before they were settled."""
    index = LogIndex(log)
    for number, state in enumerate(story(seed)):
        log.show(state)
        now = ROUNDS.start(6 * number + 1)
        if number % 25 == 0:
            index.bar("target_1", now, 5)
            index.days("target_1", now, 5)

    for node in ("target_1", "target_2", "target_3"):
        found = index.days(node, now, 12)
        first = state.nodes[node][0].timestamp if node in state.nodes else now
        for day in found:
            end = min(day.begin + DAY_SECONDS, now)
            begin = max(first, day.begin)
            assert day.seconds == max(0, end - begin)
            if day.seconds:
                expected = totals(state, state.size, node, (begin, end))
                assert (day.down, day.unknown) == (
                    expected.seconds_down,
                    expected.seconds_unknown,
                )
        assert index.bar(node, now, 12) == "".join(day.letter for day in found)
        assert index.bar(node, now, 12) == LogIndex(log).bar(node, now, 12)
    assert index.bar("target_3", now, 12) == "?" * 12


def test_a_day_before_the_first_event_is_unknown_and_the_rest_is_not(log: FakeLog) -> None:
    begin = ROUNDS.start(1)
    state = State(
        KNOWN,
        {"target_1": History([Transition(Status.UP, begin, 0)])},
        History(Mark(1, b"", begin + 12 * 300 * n, n + 1, ROUNDS) for n in range(3)),
        size=4,
    )
    log.show(state)

    assert LogIndex(log).bar("target_1", begin + 7200, 3) == "??u"


def test_days_that_no_page_shows_are_forgotten(log: FakeLog) -> None:
    index = LogIndex(log)
    *_, state = story(0)
    log.show(state)
    now = ROUNDS.start(DAYS * DAY_SECONDS // ROUNDS.seconds)
    before = index.days("target_1", now, DAYS)

    index.forget_days(now)

    assert index.days("target_1", now, DAYS) == before
