"""The explorer's history: sums over minutes, hours and days, bounded in number and age."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from committees import make_members
from dragon.errors import DiskFull
from dragon.storage.database import Database
from dragon_explorer.history import recorder, store
from dragon_explorer.history.recent import Key
from dragon_explorer.history.recorder import MAX_OUTCOMES, NO_ANSWER, Recorder, observers
from dragon_explorer.history.schema import SCHEMA
from dragon_explorer.history.spans import DAY, HOUR, MINUTE, SPANS, Block, Points, Sums, span_for
from dragon_explorer.history.store import ANSWER, RESPONSE, Gathering, History
from dragon_explorer.live import answers
from dragon_explorer.live.answers import NO_ANSWER_YET
from dragon_explorer.live.board import AggregatorReport, OperatorReport, Part
from simulation import Clock

NOW = 1_732_522_000
KEY = Key(RESPONSE, "target_1", "aggregator_0")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(tmp_path / "explorer-history.db", SCHEMA)
    yield found
    found.close()


@pytest.fixture
def history(database: Database) -> History:
    return History(database)


LATER = NOW + 2 * HOUR.seconds  # when the hour of NOW is over


def totals(history: History, kind: str = RESPONSE) -> dict[str, dict[str, Sums]]:
    return history.totals(kind, DAY, 0)


def rows(database: Database, table: str) -> int:
    with closing(sqlite3.connect(database.path)) as file:
        [found] = file.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(found)


@contextmanager
def full_disk() -> Iterator[Any]:
    raise DiskFull("the disk is full")
    yield


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("times", [(), (NOW,), (NOW, NOW), (NOW, LATER), (LATER, LATER)])
def test_sums_are_kept_in_each_span(history: History, span: Any, times: Any) -> None:
    """Before they are written, when they are written, and when they are in blocks."""
    history.add(KEY, NOW, Sums(1, 0, 40, 40))
    for time in times:
        history.flush(time)
    history.add(KEY, NOW, Sums(1, 1))
    history.add(KEY, NOW, Sums(2, 0, 100, 60))
    for time in times:
        history.flush(time)

    found = history.totals(RESPONSE, span, span.begin_of(NOW))

    assert found == {"target_1": {"aggregator_0": Sums(4, 1, 140, 60)}}
    points = history.points(
        RESPONSE, "target_1", span, first=span.begin_of(NOW), step=span.seconds, count=1
    )
    assert (points["aggregator_0"].numbers, points["aggregator_0"].most) == ([4], [60])


def test_a_flush_writes_one_row_and_an_hour_goes_into_blocks(
    history: History, database: Database
) -> None:
    for minute in range(3):
        for number in range(5):
            history.add(Key(RESPONSE, f"target_{number}", "a"), NOW + 60 * minute, Sums(1))
        history.flush(NOW + 60 * minute)
    assert (rows(database, "recent"), rows(database, "blocks")) == (3, 0)

    history.add(KEY, LATER, Sums(7))
    history.flush(LATER)

    assert (rows(database, "recent"), rows(database, "blocks")) == (1, 5 * len(SPANS))
    assert totals(History(database))["target_1"] == {
        "a": Sums(3),
        "aggregator_0": Sums(7),
    }


@pytest.mark.parametrize("times", [(NOW,), (LATER,), (NOW, LATER)])
def test_a_second_service_on_the_same_file_continues_it(
    history: History, database: Database, times: Any
) -> None:
    history.add(KEY, NOW, Sums(1, 0, 40, 40))
    for time in times:
        history.flush(time)
    later = History(database)
    later.add(KEY, NOW + 1, Sums(1, 0, 60, 60))
    later.flush(times[-1])

    assert totals(later) == {"target_1": {"aggregator_0": Sums(2, 0, 100, 60)}}
    assert totals(History(database)) == totals(later)


@pytest.mark.parametrize("span", SPANS)
def test_what_is_too_old_is_deleted(history: History, database: Database, span: Any) -> None:
    history.add(KEY, NOW, Sums(1))
    history.flush(LATER)
    end = NOW + span.kept_seconds + span.block_seconds
    history.add(Key(RESPONSE, "target_2", "aggregator_0"), end, Sums(1))
    history.flush(end + LATER - NOW)

    with closing(sqlite3.connect(database.path)) as file:
        found = file.execute("SELECT subject FROM blocks WHERE span = ?", (span.seconds,))
        assert found.fetchall() == [("target_2",)]


def test_the_history_is_bounded_while_it_rolls_up(
    history: History, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day of hours, then 90 days, then more than 2 years of months; with too many series."""
    monkeypatch.setattr(store, "MAX_SERIES", 3)
    times = [NOW + HOUR.seconds * hour for hour in range(30)]
    times += [NOW + DAY.seconds * day for day in range(2, 95)]
    times += [NOW + DAY.seconds * 32 * month for month in range(3, 30)]
    largest: dict[int, int] = {}
    for time in times:
        for number in range(5):
            history.add(Key(RESPONSE, f"target_{number}", "a"), time, Sums(1, 0, 5, 5))
        history.flush(time)
        with closing(sqlite3.connect(database.path)) as file:
            for span, count in file.execute("SELECT span, count(*) FROM blocks GROUP BY span"):
                largest[span] = max(count, largest.get(span, 0))

    assert all(largest[each.seconds] <= 3 * each.max_blocks for each in SPANS)
    assert largest[MINUTE.seconds] >= 3 * 24
    assert largest[HOUR.seconds] >= 3 * 88
    assert largest[DAY.seconds] >= 3 * 22
    assert rows(database, "recent") == 1
    assert sorted(history.totals(RESPONSE, DAY, 0)) == [
        "target_0",
        "target_1",
        "target_2",
    ]


@pytest.mark.parametrize("time", [NOW, LATER])
def test_series_beyond_the_limit_are_ignored(
    history: History, database: Database, monkeypatch: pytest.MonkeyPatch, time: int
) -> None:
    monkeypatch.setattr(store, "MAX_SERIES", 2)
    for number in range(4):
        history.add(Key(RESPONSE, f"target_{number}", "a"), NOW, Sums(1))
    history.add(Key(ANSWER, "operator_1", "signed"), NOW, Sums(1))
    history.flush(time)

    for found in (history, History(database)):
        found.add(Key(RESPONSE, "target_5", "a"), NOW, Sums(1))
        assert sorted(totals(found)) == ["target_0", "target_1"]
        assert sorted(totals(found, ANSWER)) == ["operator_1"]


@pytest.mark.parametrize("time", [NOW, LATER])
def test_what_could_not_be_written_is_written_later(
    history: History, database: Database, monkeypatch: pytest.MonkeyPatch, time: int
) -> None:
    history.add(KEY, NOW, Sums(1, 0, 40, 40))
    with monkeypatch.context() as patched:
        patched.setattr(database, "write", full_disk)
        with pytest.raises(DiskFull):
            history.flush(time)
    history.add(KEY, NOW, Sums(1, 0, 60, 60))
    history.flush(time)

    assert totals(history) == {"target_1": {"aggregator_0": Sums(2, 0, 100, 60)}}
    assert totals(History(database)) == totals(history)


def test_a_disk_that_fails_for_long_does_not_fill_the_memory(
    history: History, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "write", full_disk)
    for hour in range(24):
        history.add(KEY, NOW + HOUR.seconds * hour, Sums(1))
        with pytest.raises(DiskFull):
            history.flush(NOW + HOUR.seconds * hour)

    [(_, sums)] = history.totals(RESPONSE, DAY, 0)["target_1"].items()
    assert 1 < sums.number <= 8


@pytest.mark.parametrize("damage", [b"", b"abc", "text", 7, zlib.compress(b'[["a"]]'), b"x" * 99])
def test_a_damaged_recent_row_counts_as_empty(
    history: History, database: Database, damage: Any
) -> None:
    for time in (NOW, NOW + 60):
        history.add(KEY, time, Sums(1))
        history.flush(time)
    with closing(sqlite3.connect(database.path)) as file, file:
        file.execute("UPDATE recent SET sums = ? WHERE id = 1", (damage,))

    assert totals(History(database)) == {"target_1": {"aggregator_0": Sums(1)}}


@pytest.mark.parametrize("damage", [b"", b"abc", "text", 7])
def test_a_damaged_row_counts_as_empty(history: History, database: Database, damage: Any) -> None:
    history.add(KEY, NOW, Sums(1))
    history.flush(LATER)
    with closing(sqlite3.connect(database.path)) as file, file:
        file.execute("UPDATE blocks SET sums = ?", (damage,))

    assert totals(history) == {}
    history.add(KEY, NOW, Sums(3))
    history.flush(LATER)
    assert totals(history) == {"target_1": {"aggregator_0": Sums(3)}}


def test_points_put_spans_together(history: History) -> None:
    first = MINUTE.begin_of(NOW)
    for minute in range(4):
        history.add(KEY, first + 60 * minute, Sums(1, 0, 10 * minute, 10 * minute))
    history.add(KEY, first + 300, Sums(2, 2))
    history.flush(NOW)

    points = history.points(RESPONSE, "target_1", MINUTE, first=first, step=120, count=3)

    found = points["aggregator_0"]
    assert found.numbers == [2, 2, 2]
    assert list(found.means()) == [5, 25, None]
    assert (found.most, found.failed) == ([10, 30, 0], [0, 0, 2])
    assert history.points(RESPONSE, "target_2", MINUTE, first=first, step=60, count=3) == {}


@pytest.mark.parametrize("span", SPANS)
def test_a_total_begins_at_a_span(history: History, span: Any) -> None:
    begin = span.block_of(NOW)
    for number in (0, 1, span.per_block - 1):
        history.add(KEY, begin + number * span.seconds, Sums(1, 1, 5 * number, number))
    for _ in range(2):
        for since, expected in (
            (begin, Sums(3, 3, 5 * span.per_block, span.per_block - 1)),
            (begin + 1, Sums(2, 2, 5 * span.per_block, span.per_block - 1)),
            (begin + 2 * span.seconds, Sums(1, 1, 5 * (span.per_block - 1), span.per_block - 1)),
        ):
            found = history.totals(RESPONSE, span, since)
            assert found == {"target_1": {"aggregator_0": expected}}
        assert history.totals(RESPONSE, span, begin + span.block_seconds) == {}
        history.flush(begin + 2 * span.block_seconds + HOUR.seconds)


def test_sums_stop_growing_at_what_a_row_can_hold() -> None:
    block, most = Block(MINUTE, 0), 0xFFFF_FFFF
    for _ in range(2):
        block.add(0, Sums(most, 1, most, most))

    assert list(block.sums()) == [(0, Sums(most, 2, most, most))]


def test_a_period_has_the_finest_span_that_covers_it() -> None:
    assert [span_for(days * 86_400) for days in (1, 30, 90, 400)] == [MINUTE, HOUR, HOUR, DAY]
    assert list(Points(0, 60, 2).means()) == [None, None]


def test_a_record_of_answers_replaces_that_of_the_same_question(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_GATHERINGS", 3)

    def record(number: int, text: str = "{}") -> Gathering:
        return Gathering("target_1", "down", number, "aggregator_0", text)

    history.keep_gatherings([record(1), record(1, '{"a":1}')])
    assert history.gatherings("target_1", "down", 1) == [record(1, '{"a":1}')]
    assert history.gatherings("target_1", "up", 1) == []

    history.keep_gatherings([record(number) for number in range(2, 8)])
    kept = [number for number in range(1, 8) if history.gatherings("target_1", "down", number)]
    assert kept == [5, 6, 7]


# The recorder


COMMITTEE = make_members(4, targets=2).committee


def probe(node: str, latency: int = 30, seen: str = "up") -> answers.Probe:
    return answers.Probe(
        node_id=node, seen=seen, reason="x", latency_ms=latency, clock_offset_ms=None
    )


def round_(
    number: int, *probes: answers.Probe, took: int | None = 900, **answered: str
) -> answers.Round:
    """A round that begins `number` rounds after now; `answered`, by operator."""
    start = NOW + 5 * number
    claim = answers.Claim(kind="status", node_id="target_1", status="down", timestamp=start)
    given = [
        answers.OperatorAnswer(operator=name, answer=word, detail="", latency_ms=5)
        for name, word in answered.items()
    ]
    gathering = answers.Gathering(claim=claim, needed=3, certified=True, answers=given)
    return answers.Round(
        number=number,
        start=start,
        begun_late_ms=0,
        took_ms=took,
        overran=False,
        skipped=0,
        note="",
        probes=list(probes),
        gatherings=[gathering] if given else [],
    )


def report(*rounds: answers.Round) -> AggregatorReport:
    return AggregatorReport("aggregator_0", "http://a", rounds=Part(rounds, NOW))


def recorded(history: History, *reports: Any, begun: float = NOW) -> Recorder:
    found = Recorder(history, COMMITTEE, lambda: begun)
    for each in reports:
        found.record(each)
    found.flush()
    return found


def test_a_round_is_recorded_once_and_when_it_is_finished(history: History) -> None:
    running = round_(2, probe("target_1"), took=None)
    finished = round_(2, probe("target_1", 50))
    first = round_(1, probe("target_1"), probe("target_2", seen="down"))

    recorded(history, report(first, running), report(first, running), report(first, finished))

    assert totals(history) == {
        "target_1": {"aggregator_0": Sums(2, 0, 80, 50)},
        "target_2": {"aggregator_0": Sums(1, 1)},
    }


def test_a_restart_counts_no_round_twice(history: History) -> None:
    rounds = report(*(round_(number, probe("target_1")) for number in (0, 1)))
    recorded(history, rounds)
    recorded(history, rounds, begun=NOW + 10)

    assert totals(history)["target_1"]["aggregator_0"].number == 2


def test_answers_are_counted_by_outcome_and_kept(history: History) -> None:
    asked = round_(1, operator_1="signed", operator_2="blind", operator_3="timeout", nobody="x")

    recorded(history, report(asked))

    assert totals(history, ANSWER) == {
        "operator_1": {"signed": Sums(1)},
        "operator_2": {"blind": Sums(1)},
        "operator_3": {"timeout": Sums(1)},
    }
    [kept] = history.gatherings("target_1", "down", NOW + 5)
    assert '"blind"' in kept.answers


def test_an_answer_that_comes_after_the_quorum_is_no_silence(history: History) -> None:
    """An aggregator stops at the quorum; the round is over before the slowest operator answers."""
    clock = Clock(NOW)
    recorder = Recorder(history, COMMITTEE, lambda: clock.now)
    others = {"operator_1": "signed", "operator_2": "signed"}

    recorder.record(report(round_(0, **others, operator_3=NO_ANSWER_YET)))
    clock.now += 2
    recorder.record(report(round_(0, **others, operator_3="clock")))
    clock.now += 20
    recorder.record(report(round_(0, **others, operator_3="clock")))
    recorder.flush()

    assert {name: set(sums) for name, sums in totals(history, ANSWER).items()} == {
        "operator_1": {"signed"},
        "operator_2": {"signed"},
        "operator_3": {"clock"},
    }
    assert {each.number for sums in totals(history, ANSWER).values() for each in sums.values()} == {
        1
    }


def test_an_operator_that_never_answers_is_silent_in_the_end(history: History) -> None:
    clock = Clock(NOW)
    recorder = Recorder(history, COMMITTEE, lambda: clock.now)
    for _ in range(4):
        recorder.record(report(round_(0, operator_3=NO_ANSWER_YET)))
        clock.now += 5
    recorder.flush()

    assert totals(history, ANSWER) == {"operator_3": {NO_ANSWER: Sums(1)}}


def test_a_question_that_is_asked_after_the_round_is_recorded_too(history: History) -> None:
    """A suspicion comes in the middle of a round, when the aggregator has finished its own part."""
    clock = Clock(NOW)
    recorder = Recorder(history, COMMITTEE, lambda: clock.now)
    finished = round_(0, probe("target_1"))
    recorder.record(report(finished))
    clock.now += 3
    suspicion = answers.Suspicion(
        operator="operator_2",
        node_id="target_1",
        status="down",
        after_ms=2500,
        outcome="certified",
        detail="",
    )
    asked = round_(0, operator_1="signed").gatherings
    recorder.record(
        report(finished.model_copy(update={"gatherings": asked, "suspicions": [suspicion]}))
    )
    recorder.flush()

    assert totals(history, ANSWER) == {"operator_1": {"signed": Sums(1)}}
    assert totals(history)["target_1"]["aggregator_0"].number == 1
    [kept] = history.gatherings("target_1", "down", NOW)
    found = answers.KeptGathering.model_validate_json(kept.answers, by_name=True)
    assert (found.round, found.suspicions, len(found.probes)) == (0, [suspicion], 1)


def test_an_aggregator_cannot_make_the_history_grow(history: History) -> None:
    """It may state any node, time and outcome."""
    years = round_(10_000_000, probe("target_1"), operator_1="signed")
    strange = round_(2, probe("nobody"))
    many = [round_(3 + n, operator_1=f"outcome_{n}") for n in range(MAX_OUTCOMES + 5)]

    times = iter([NOW])
    recorder = Recorder(history, COMMITTEE, lambda: next(times, NOW + 300))
    recorder.record(report(strange, *many))
    recorder.record(report(years))
    recorder.flush()

    assert totals(history) == {}
    assert len(totals(history, ANSWER)["operator_1"]) == MAX_OUTCOMES + 1
    assert totals(history, ANSWER)["operator_1"]["other"] == Sums(5)
    assert history.gatherings("target_1", "down", NOW + 50_000_000) == []


def test_an_invented_round_hides_no_later_round(history: History) -> None:
    soon = round_(11, probe("target_1"))
    invented = [
        soon.model_copy(update={"number": 2**53 - 1}),  # of another time than it states
        round_(100, probe("target_1")),  # of the future
    ]

    recorded(history, report(*invented), report(soon))

    assert totals(history)["target_1"]["aggregator_0"] == Sums(1, 0, 30, 30)


def test_an_operator_cannot_fill_the_memory_with_invented_nodes(history: History) -> None:
    seen = answers.Seen(status="up", reason="answered", at=NOW, latency_ms=20)

    def said(number: int) -> OperatorReport:
        names = [f"node_{number}_{each}" for each in range(50)]
        nodes = {
            name: answers.Node(node_id=name, status="up", since=NOW, seen=seen) for name in names
        }
        return OperatorReport("operator_1", "http://o", nodes=Part(nodes, NOW))

    recorder = recorded(history, *(said(number) for number in range(10)))

    held = [len(each) for each in vars(recorder).values() if isinstance(each, dict)]
    assert sum(held) == 0


def test_probes_of_operators_are_recorded_once(history: History) -> None:
    def said(at: int, latency: int | None) -> OperatorReport:
        seen = answers.Seen(status="up", reason="answered", at=at, latency_ms=latency)
        nodes = {
            name: answers.Node(node_id=name, status="up", since=NOW, seen=seen)
            for name in ("target_1", "operator_1")
        }
        return OperatorReport("operator_1", "http://o", nodes=Part(nodes, NOW))

    recorded(history, said(NOW, 20), said(NOW, 20), said(NOW + 5, 40), said(NOW + 9, None))

    assert totals(history) == {"target_1": {"operator_1": Sums(2, 0, 60, 40)}}


def test_every_node_of_a_large_committee_has_response_times(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which observers are kept does not depend on the order in which services answer."""
    monkeypatch.setattr(recorder, "MAX_SERIES", 3 * len(COMMITTEE.urls) + 1)

    assert observers(COMMITTEE) == ["aggregator_0", "operator_1", "operator_2"]
    seen = answers.Seen(status="up", reason="answered", at=NOW, latency_ms=20)
    nodes = {"target_1": answers.Node(node_id="target_1", status="up", since=NOW, seen=seen)}
    names = [f"operator_{number}" for number in (4, 3, 2, 1)]
    said = [OperatorReport(name, "http://o", nodes=Part(nodes, NOW)) for name in names]
    recorded(history, *said, report(round_(1, probe("target_1"))))

    assert sorted(totals(history)["target_1"]) == ["aggregator_0", "operator_1", "operator_2"]


def test_a_committee_with_more_nodes_than_series_keeps_one_observer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder, "MAX_SERIES", 1)

    assert observers(COMMITTEE) == ["aggregator_0"]
