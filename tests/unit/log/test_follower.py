"""Following a ledger: to its end, during outages, and after its history was rewritten."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from committees import make_members
from dragon import errors
from dragon.encoding import canonical
from dragon.log import follower
from dragon.log.follower import CAUGHT_UP_SECONDS, LENGTH_INTERVAL_SECONDS, Follower
from dragon.log.ledger import FinalityRule, KeptPositions, Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Alarm, Log
from dragon.protocol.claims.status import Status
from dragon.protocol.event import Event
from dragon.protocol.log_entry import LogEntry
from dragon.storage.database import Database
from simulation import Clock

MEMBERS = make_members()
ROUNDS = MEMBERS.committee.rounds
NODE = "operator_2"


@cache
def certified(round_: int) -> Event:
    return MEMBERS.status(NODE, Status.UP if round_ % 2 else Status.DOWN, round_)


@dataclass
class PaperLedger:
    """A ledger in memory: a list of batches, returned in pages.

    `history` names what stands at each index; what is behind a changed name has another chain.
    """

    history: list[str]
    page: int = 2
    down: bool = False
    fails_before: int = 0  # polls from positions before this index fail
    polled: list[int] = field(default_factory=list)
    kept: KeptPositions | None = None
    asked: int = 0  # how often the length was asked
    known: int = 0  # what was read before the length was last asked

    def poll(
        self, after: Position, kept: KeptPositions | None = None, rule: FinalityRule | None = None
    ) -> Sequence[ProvenBatch]:
        self.polled.append(after.index)
        self.kept = kept
        if self.down or after.index < self.fails_before:
            raise errors.LedgerUnavailable("no gateway answers")
        if self._chain(after.index) != after.chaining_hash:
            raise errors.LedgerContradiction("the network's history has changed")
        behind = range(after.index + 1, len(self.history) + 1)[: self.page]
        return [self._batch(index) for index in behind]

    def last_finalized_index(self, known: int = 0) -> int:
        self.asked += 1
        self.known = known
        if self.down:
            raise errors.LedgerUnavailable("no gateway answers")
        return len(self.history)

    def _chain(self, index: int) -> str:
        return "/".join(self.history[:index]) if index <= len(self.history) else "beyond"

    def _batch(self, index: int) -> ProvenBatch:
        has_event = self.history[index - 1].startswith("flip")
        body = canonical([certified(index).to_json()] if has_event else []).decode()
        time = ROUNDS.start(index)
        return ProvenBatch(index, body, time, "{}", Position(index, self._chain(index)))


class Turns(threading.Event):
    """An event that is set after a number of waits, and records their timeouts."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.waits: list[float | None] = []
        self._turns = turns

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        if len(self.waits) >= self._turns:
            self.set()
        return self.is_set()


@dataclass
class Following:
    """A log and its ledger, with a clock that only the test advances."""

    log: Log
    ledger: PaperLedger
    clock: Clock
    follower: Follower

    def rewrite(self, history: list[str]) -> None:
        self.ledger.history = history


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Following]:
    database = Database(tmp_path / "operator.db", LOG_SCHEMA)
    log = Log(database, MEMBERS.committee)
    ledger, clock = PaperLedger([f"flip {i}" for i in range(1, 6)]), Clock(0.0)
    yield Following(
        log,
        ledger,
        clock,
        Follower(log, ledger, monotonic=lambda: clock.now),
    )
    database.close()


def test_a_step_applies_one_page(following: Following) -> None:
    added = following.follower.step()

    assert [entry.event for entry in added] == [certified(1), certified(2)]
    assert following.log.position.index == 2


def test_catching_up_reads_to_the_ledgers_end(following: Following) -> None:
    following.follower.catch_up()

    assert following.log.position.index == 5
    assert following.log.head().size == 5


class Plain:
    """A ledger with pages only."""

    def __init__(self, ledger: PaperLedger) -> None:
        self.poll = ledger.poll


def test_a_log_has_read_all_after_an_empty_page(following: Following) -> None:
    following.ledger.history = ["flip 1", "flip 2"]
    ledger = Plain(following.ledger)
    follower = Follower(following.log, ledger, monotonic=lambda: following.clock.now)
    seen = []
    for _ in range(2):
        seen.append(follower.has_read_all)
        follower.step()

    assert seen == [False, False]
    assert follower.has_read_all


def test_a_start_does_not_wait_for_an_empty_page(following: Following) -> None:
    """A ledger may hold a request at its end until it has another batch."""
    follower, ledger = following.follower, following.ledger
    ledger.history, read = ["flip 1", "flip 2"], []
    follower.subscribe(lambda _: read.append(follower.has_read_all))

    follower.step()

    assert read == [False]
    assert follower.has_read_all
    assert (ledger.polled, ledger.asked) == ([0], 1)


def test_a_log_that_has_everything_has_read_all_before_the_first_page(
    following: Following,
) -> None:
    following.follower.catch_up()
    again = Follower(following.log, following.ledger, monotonic=lambda: following.clock.now)
    following.ledger.fails_before = 1000  # the page does not come

    with pytest.raises(errors.LedgerUnavailable):
        again.step()

    assert again.has_read_all


def test_a_ledger_that_ends_before_the_log_is_not_read_to_its_end(following: Following) -> None:
    following.follower.catch_up()
    again = Follower(following.log, following.ledger, monotonic=lambda: following.clock.now)
    following.ledger.history = ["flip 1"]
    following.ledger.fails_before = 1000

    with pytest.raises(errors.LedgerUnavailable):
        again.step()

    assert not again.has_read_all


def test_a_log_is_caught_up_for_five_seconds_after_reading_to_the_end(following: Following) -> None:
    clock, follower = following.clock, following.follower
    assert not follower.caught_up
    follower.catch_up()

    clock.sleep(CAUGHT_UP_SECONDS)
    at_the_bound = follower.caught_up
    clock.sleep(0.001)

    assert at_the_bound
    assert not follower.caught_up
    assert follower.has_read_all

    follower.step()

    assert follower.caught_up


def test_pages_with_batches_do_not_count_as_the_end(following: Following) -> None:
    clock, follower = following.clock, following.follower
    follower.catch_up()
    clock.sleep(CAUGHT_UP_SECONDS + 1)
    following.ledger.history += ["flip 6", "flip 7", "flip 8", "flip 9"]

    follower.step()

    assert not follower.caught_up


def test_the_ledger_can_look_up_the_positions_that_the_log_has_kept(following: Following) -> None:
    following.ledger.history[2:] = ["other 3", "other 4", "flip 5"]
    following.follower.catch_up()
    kept = following.ledger.kept
    assert kept is not None

    indices = [position and position.index for position in map(kept, range(7))]

    assert indices == [None, 1, 2, 2, 2, 5, 5]
    assert kept(4) == Position(2, "flip 1/flip 2")


def test_a_log_says_how_far_behind_it_is(following: Following) -> None:
    follower, ledger = following.follower, following.ledger
    behind = [follower.behind]
    follower.step()  # the length is asked, and one page is applied
    behind.append(follower.behind)
    follower.step()
    behind.append(follower.behind)
    ledger.history += ["flip 6"]
    follower.catch_up()
    behind.append(follower.behind)

    assert behind == [0, 3, 1, 0]
    assert ledger.asked == 1
    assert ledger.known == 0  # nothing was read before


def test_the_end_of_a_ledger_that_never_stops_is_found_by_its_index(following: Following) -> None:
    """There is always another page. No clock of the ledger says where its end is."""
    follower, ledger, clock = following.follower, following.ledger, following.clock
    ends = []
    for index in range(6, 20):
        ledger.history += [f"flip {index}"]
        follower.step()
        clock.sleep(1.0)
        ends.append(follower.has_read_all)

    assert ends[:2] == [False, False]
    assert all(ends[4:])
    assert follower.caught_up
    assert ledger.asked <= 14 / LENGTH_INTERVAL_SECONDS
    assert ledger.known > 5  # batches that were read later than at the start


def test_a_ledger_that_grows_faster_than_the_log_is_never_at_its_end(following: Following) -> None:
    follower, ledger, clock = following.follower, following.ledger, following.clock
    for index in range(6, 30, 3):
        ledger.history += [f"flip {each}" for each in range(index, index + 3)]
        follower.step()
        clock.sleep(1.0)

    assert not follower.caught_up
    assert follower.behind > 0


def test_a_ledger_that_does_not_say_its_length_is_followed(following: Following) -> None:
    ledger = Plain(following.ledger)
    follower = Follower(following.log, ledger, monotonic=lambda: following.clock.now)
    follower.catch_up()

    assert follower.has_read_all
    assert follower.behind == 0


def test_following_goes_on_if_the_length_cannot_be_asked(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_known: int) -> int:
        raise errors.LedgerUnavailable("no gateway answers")

    monkeypatch.setattr(following.ledger, "last_finalized_index", fail)

    following.follower.catch_up()

    assert following.follower.has_read_all


def test_following_stops_between_two_transactions(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page may contain so many forged signatures that verifying them takes minutes."""
    monkeypatch.setattr(follower, "BATCHES_PER_TRANSACTION", 2)
    following.ledger.page, stop = 5, threading.Event()
    following.follower.subscribe(lambda _: stop.set())

    following.follower.run(stop)

    assert following.log.position.index == 2
    assert not following.follower.has_read_all
    assert following.follower.behind == 3


def test_a_transaction_takes_many_short_batches_but_few_long_ones(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of empty batches is not limited by the network, so each must cost little."""
    monkeypatch.setattr(follower, "BATCHES_PER_TRANSACTION", 2)
    monkeypatch.setattr(follower, "SHORT_BATCHES_PER_TRANSACTION", 5)
    kinds = ["empty"] * 12 + ["flip"] * 3 + ["empty"] * 2 + ["flip"] * 2
    following.ledger.page = len(kinds)
    following.rewrite([f"{kind} {index}" for index, kind in enumerate(kinds, start=1)])
    sizes, take = [], following.log.take
    assert all((len(b.body) < 256) == (b.body == "[]") for b in following.ledger.poll(Position()))

    def counted(*batches: ProvenBatch) -> list[LogEntry]:
        sizes.append(len(batches))
        return take(*batches)

    monkeypatch.setattr(following.log, "take", counted)
    following.follower.step()

    assert sizes == [5, 5, 4, 4, 1]
    assert following.log.position.index == len(kinds)


def test_running_does_not_pause_while_pages_are_long(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "BATCHES_PER_TRANSACTION", 2)
    following.rewrite(["empty"] * 5)
    stop = Turns(4)

    following.follower.run(stop)

    pause = follower.POLL_PAUSE_SECONDS
    assert stop.waits == [0.0, 0.0, pause, pause]


def test_an_outage_is_raised_and_changes_nothing(following: Following) -> None:
    following.follower.step()
    following.ledger.down = True

    with pytest.raises(errors.LedgerUnavailable):
        following.follower.step()
    with pytest.raises(errors.LedgerUnavailable):
        following.follower.catch_up()

    assert following.log.position.index == 2
    assert following.log.alarm() is None
    assert not following.follower.has_read_all


def test_a_log_is_not_caught_up_after_an_outage(following: Following) -> None:
    following.follower.catch_up()
    following.clock.sleep(CAUGHT_UP_SECONDS + 1)
    following.ledger.down = True

    with pytest.raises(errors.LedgerUnavailable):
        following.follower.step()

    assert not following.follower.caught_up


def test_running_retries_after_an_outage_and_does_not_pause_until_the_end_is_read(
    following: Following, caplog: pytest.LogCaptureFixture
) -> None:
    stop = Turns(4)
    following.follower.run(stop)
    following.ledger.down = True
    waited = Turns(1)
    following.follower.run(waited)

    gathering, pause = follower.GATHER_PAUSE_SECONDS, follower.POLL_PAUSE_SECONDS
    assert stop.waits == [0.0, 0.0, gathering, pause]
    assert following.log.position.index == 5
    assert waited.waits == [follower.ERROR_PAUSE_SECONDS]
    assert "ledger_unavailable" in caplog.text


class Growing(Turns):
    """Each wait adds entries to the ledger."""

    def __init__(self, turns: int, ledger: PaperLedger, entries: int) -> None:
        super().__init__(turns)
        self._ledger, self._entries = ledger, entries

    def wait(self, timeout: float | None = None) -> bool:
        following = len(self._ledger.history) + 1
        self._ledger.history += [f"flip {following + each}" for each in range(self._entries)]
        return super().wait(timeout)


def test_at_the_end_of_a_busy_ledger_entries_are_gathered_for_one_page(
    following: Following,
) -> None:
    following.ledger.page = 10
    following.follower.catch_up()
    stop = Growing(4, following.ledger, 3)
    following.follower.run(stop)

    gathering = follower.GATHER_PAUSE_SECONDS
    assert stop.waits == [follower.POLL_PAUSE_SECONDS, gathering, gathering, gathering]
    assert following.log.position.index == 5 + 3 * 3


def test_a_service_may_gather_entries_for_a_shorter_time(following: Following) -> None:
    hurried = Follower(
        *(following.log, following.ledger),
        monotonic=lambda: following.clock.now,
        gather_seconds=0.125,
    )
    hurried.catch_up()
    stop = Growing(3, following.ledger, 1)
    hurried.run(stop)

    assert stop.waits == [follower.POLL_PAUSE_SECONDS, 0.125, 0.125]


def test_a_log_that_is_behind_does_not_wait_for_more_entries(following: Following) -> None:
    following.follower.catch_up()
    following.clock.sleep(LENGTH_INTERVAL_SECONDS)
    following.rewrite([f"flip {index}" for index in range(1, 20)])
    stop = Turns(7)
    following.follower.run(stop)

    gathering = follower.GATHER_PAUSE_SECONDS  # until the ledger's length is asked
    assert stop.waits == [gathering, *[0.0] * 5, gathering]
    assert following.log.position.index == 19


def test_a_log_that_was_not_caught_up_lately_does_not_wait_for_more_entries(
    following: Following,
) -> None:
    following.ledger.page = 10
    following.follower.catch_up()
    following.clock.sleep(CAUGHT_UP_SECONDS + 1)
    following.ledger.history += ["flip 6"]
    stop = Turns(2)
    following.follower.run(stop)

    assert stop.waits == [0.0, follower.POLL_PAUSE_SECONDS]


def test_running_stops_immediately(following: Following) -> None:
    stop = threading.Event()
    stop.set()

    following.follower.run(stop)

    assert following.ledger.polled == []


@pytest.mark.parametrize("first", [1, 2, 3, 5])
def test_a_rewritten_history_raises_an_alarm_with_the_first_contradicted_entry(
    following: Following, first: int
) -> None:
    following.follower.catch_up()
    rewritten = [f"flip {i}" for i in range(1, 6)]
    rewritten[first - 1] = "flip, but another"
    following.rewrite(rewritten)

    assert following.follower.step() == []

    alarm = following.log.alarm()
    assert alarm is not None
    assert alarm.reason == "ledger_rewritten"
    assert f"entry {first - 1} is the first that the ledger contradicts" in alarm.detail


def test_batches_without_events_do_not_count_as_entries(following: Following) -> None:
    following.rewrite(["empty", "flip 2", "empty", "empty", "flip 5", "empty"])
    following.follower.catch_up()
    assert [entry.ledger_index for entry in following.log.entries()] == [2, 5]

    following.rewrite(["empty", "flip 2", "other", "empty", "flip 5", "empty"])
    following.follower.step()

    alarm = following.log.alarm()
    assert alarm is not None
    assert "entry 1 is the first" in alarm.detail


@pytest.mark.parametrize(("left", "missing"), [(0, 0), (1, 1), (3, 3), (4, 4)])
def test_an_entry_that_is_no_longer_on_the_ledger_is_contradicted(
    following: Following, left: int, missing: int
) -> None:
    following.follower.catch_up()
    following.rewrite([f"flip {i}" for i in range(1, left + 1)])

    following.follower.step()

    alarm = following.log.alarm()
    assert alarm is not None
    assert f"entry {missing} is the first" in alarm.detail


def test_an_alarm_says_if_only_batches_after_the_last_entry_are_contradicted(
    following: Following,
) -> None:
    following.ledger.history += ["empty", "empty"]
    following.follower.catch_up()
    following.rewrite([f"flip {i}" for i in range(1, 6)] + ["empty, but another", "empty"])

    following.follower.step()

    alarm = following.log.alarm()
    assert alarm is not None
    assert "no entry is contradicted" in alarm.detail


def test_an_empty_log_on_a_rewritten_ledger_raises_an_alarm(following: Following) -> None:
    following.rewrite(["empty"])
    following.follower.catch_up()
    following.rewrite(["other"])

    following.follower.step()

    alarm = following.log.alarm()
    assert alarm is not None
    assert "no entry is contradicted" in alarm.detail


def test_an_error_during_the_search_does_not_prevent_the_alarm(following: Following) -> None:
    following.follower.catch_up()
    following.rewrite(["other", *(f"flip {i}" for i in range(2, 5))])
    following.ledger.fails_before = 5

    assert following.follower.step() == []

    alarm = following.log.alarm()
    assert alarm is not None
    assert alarm.reason == "ledger_rewritten"
    assert "the first contradicted entry is unknown (no gateway answers)" in alarm.detail


def test_a_long_ledger_delays_the_alarm_only_for_a_while(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    following.follower.catch_up()
    following.ledger.page = 1
    poll = following.ledger.poll

    def slowly(
        after: Position, kept: KeptPositions | None = None, rule: FinalityRule | None = None
    ) -> Sequence[ProvenBatch]:
        following.clock.now += follower.SEARCH_SECONDS * 0.6
        return poll(after, kept)

    following.rewrite([f"flip {i}" for i in range(1, 5)] + ["other"])
    monkeypatch.setattr(following.ledger, "poll", slowly)

    assert following.follower.step() == []

    alarm = following.log.alarm()
    assert alarm is not None
    assert "the first contradicted entry is unknown (not found within 30 s)" in alarm.detail
    assert len(following.ledger.polled) < 9


def test_during_an_alarm_nothing_is_read_or_applied(following: Following) -> None:
    following.follower.catch_up()
    checkpoint = following.log.head()
    following.rewrite(["other"] * 9)
    following.follower.step()
    following.ledger.polled.clear()

    assert following.follower.step() == []
    following.follower.catch_up()

    assert following.ledger.polled == []
    assert following.log.head() == checkpoint
    following.clock.sleep(CAUGHT_UP_SECONDS + 1)
    assert not following.follower.caught_up


def test_a_contradiction_ends_catching_up(following: Following) -> None:
    following.follower.step()
    following.rewrite(["other", "flip 2", "flip 3"])

    following.follower.catch_up()

    assert following.log.alarm() == Alarm(
        "ledger_rewritten",
        "the network's history has changed; entry 0 is the first that the ledger contradicts",
    )
    assert following.log.position.index == 2


# -- listeners -------------------------------------------------------------------------------------


def test_listeners_are_called_after_the_commit(following: Following) -> None:
    told: list[tuple[int, int]] = []

    def listen(entries: Sequence[LogEntry]) -> None:
        told.extend((entry.position, following.log.state.size) for entry in entries)

    following.follower.subscribe(listen)
    following.follower.catch_up()

    assert [position for position, _ in told] == list(range(following.log.state.size))
    assert all(position < size for position, size in told)


def test_a_failing_listener_does_not_affect_the_log_or_other_listeners(
    following: Following,
) -> None:
    told: list[int] = []

    def fail(_entries: Sequence[LogEntry]) -> None:
        raise RuntimeError("a test says so")

    following.follower.subscribe(fail)
    following.follower.subscribe(lambda entries: told.append(len(entries)))
    following.follower.catch_up()

    assert sum(told) == following.log.state.size > 0


def test_an_unsubscribed_listener_is_not_called(following: Following) -> None:
    told: list[int] = []
    unsubscribe = following.follower.subscribe(lambda entries: told.append(len(entries)))

    unsubscribe()
    following.follower.catch_up()

    assert told == []
    assert following.log.state.size > 0
