"""An event stays in the outbox until the log has applied it or will never apply it."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from committees import make_members
from dragon.encoding import Json, canonical
from dragon.errors import LedgerUnavailable
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.claims.window import InvalidReason, Verdict, WindowClaim
from dragon.protocol.event import Event
from dragon.protocol.state import Transition
from dragon.storage.database import Database
from dragon_aggregator import outbox as outbox_module
from dragon_aggregator.outbox import SCHEMA, Outbox, last_known
from dragon_aggregator.resend_schedule import (
    BACK_OFF_SECONDS,
    RESEND_AFTER_SECONDS,
    ResendSchedule,
)
from dragon_aggregator.submitter import (
    LATE_SECONDS,
    MAX_SENDS_UNDER_ALARM,
    POLL_SECONDS,
    Submitter,
)
from dragon_sequencer.errors import SubmissionRefused
from epochs import hand_over, successor
from simulation import Clock

RANK = 2
PATIENCE_SECONDS = 5.0  # after which a thread of a failed test goes on
MEMBERS = make_members()
ROUNDS = MEMBERS.committee.rounds
ONE, TWO = "operator_1", "operator_2"
UP, DOWN = Status.UP, Status.DOWN


@cache
def certified(node_id: str, status: Status, round_: int) -> Event:
    return MEMBERS.status(node_id, status, round_)


@dataclass
class Post:
    """A sender that accepts events and forgets them, as a sequencer that crashes may."""

    down: bool = False
    refused: str = ""  # a node whose events it refuses
    sent: list[list[Json]] = field(default_factory=list)

    def send(self, events: Sequence[dict[str, Json]]) -> None:
        if self.down:
            raise LedgerUnavailable("no gateway answers")
        if any(event.get("node_id") == self.refused for event in events):
            raise SubmissionRefused("two gateways refused the batch", accepted=0)
        self.sent.append(list(events))


@dataclass
class Sending:
    """One outbox with its log and clocks. The log changes only when a test says so."""

    path: Path
    clock: Clock
    ahead: float = 0.0  # of the wall clock, in seconds
    is_caught_up: bool = True
    post: Post = field(default_factory=Post)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.database = Database(self.path, LOG_SCHEMA, SCHEMA)
        self.log = Log(self.database, MEMBERS.committee)
        self.outbox = Outbox(self.database)
        schedule = ResendSchedule(
            monotonic=lambda: self.clock.now,
            wall=self.wall,
            longest_wait=lambda: RANK * ROUNDS.seconds,
        )
        self.submitter = Submitter(
            MEMBERS.committee,
            self.outbox,
            self.log,
            self.post,
            schedule=schedule,
            is_caught_up=lambda: self.is_caught_up,
        )

    def wall(self) -> float:
        return self.clock.now + self.ahead

    def crash(self) -> None:
        self.database.close()

    def add(self, *events: Event, not_before: float = 0.0) -> None:
        for event in events:
            self.outbox.add(event, not_before=not_before)

    def apply(self, *events: Event) -> None:
        index = self.log.position.index + 1
        body = canonical([event.to_json() for event in events]).decode()
        self.log.take(ProvenBatch(index, body, 0, "{}", Position(index, f"{index:032x}")))
        assert self.log.refusals() == {}

    def mark(self, round_: int) -> Event:
        """A certified checkpoint of this log in a round."""
        head = self.log.head()
        claim = CheckpointClaim(head.size, head.root, ROUNDS.start(round_))
        return MEMBERS.certify(claim, (ONE, TWO, "operator_3"))

    def step(self) -> list[Event]:
        return [entry.event for entry in self.submitter.step()]

    def waiting(self) -> list[Event]:
        return [entry.event for entry in self.outbox.pending()]


@pytest.fixture
def sending(tmp_path: Path) -> Iterator[Sending]:
    made = Sending(tmp_path / "aggregator.db", Clock(float(ROUNDS.start(10))))
    yield made
    made.crash()


def test_an_event_is_sent_in_its_published_form(sending: Sending) -> None:
    event = certified(ONE, UP, 10)
    sending.add(event)

    assert sending.step() == [event]

    assert sending.post.sent == [[event.to_json()]]
    assert sending.waiting() == [event], "accepted does not mean applied"


def test_an_empty_outbox_sends_nothing(sending: Sending) -> None:
    assert sending.step() == []
    assert sending.post.sent == []


def test_events_of_different_nodes_go_together(sending: Sending) -> None:
    events = [certified(ONE, UP, 10), certified(TWO, UP, 10)]
    sending.add(*events)

    assert sending.step() == events
    assert len(sending.post.sent) == 1


def test_all_events_are_sent_at_once_by_timestamp(sending: Sending) -> None:
    sending.apply(certified("operator_4", UP, 7))
    mark = sending.mark(10)
    events = [
        certified(ONE, UP, 8),
        certified(TWO, UP, 9),
        certified(ONE, DOWN, 9),
        certified(ONE, UP, 10),
        mark,  # after the status of the same second
        certified(TWO, DOWN, 11),
    ]
    sending.add(mark, *(event for event in reversed(events) if event != mark))

    assert (
        sending.step()
        == [
            events[0],
            certified(ONE, DOWN, 9),  # of the same second: as they were added
            certified(TWO, UP, 9),
            *events[3:],
        ]
    )


def test_many_events_are_sent_in_requests_of_bounded_size(sending: Sending) -> None:
    events = [certified(ONE, UP if number % 2 else DOWN, number) for number in range(65)]
    sending.add(*events)

    assert sending.step() == events
    assert [len(sent) for sent in sending.post.sent] == [64, 1]


def test_an_event_that_was_sent_delays_no_later_one(sending: Sending) -> None:
    sending.add(certified(ONE, UP, 9))
    sending.step()
    later = [certified(ONE, DOWN, 10), certified(TWO, UP, 10)]
    sending.add(*later)

    assert sending.step() == later


def test_a_handover_comes_after_the_events_of_its_second(sending: Sending) -> None:
    """Behind it they are superseded, and would have to be certified again."""
    sending.apply(certified("operator_4", UP, 7))
    head = sending.log.head()
    at = ROUNDS.start(10)
    handover = hand_over(
        MEMBERS, successor(MEMBERS, None), size=head.size, root=head.root, timestamp=at
    )
    sending.add(handover, certified(ONE, UP, 10))

    assert sending.step() == [certified(ONE, UP, 10), handover]


def test_an_event_that_is_not_applied_is_sent_again_after_ten_seconds(sending: Sending) -> None:
    event = certified(ONE, UP, 10)
    sending.add(event)
    sending.step()

    sending.clock.sleep(RESEND_AFTER_SECONDS - 0.1)
    just_before = sending.step()
    sending.clock.sleep(0.1)

    assert RESEND_AFTER_SECONDS == 10
    assert just_before == []
    assert sending.step() == [event]
    assert sending.step() == []
    assert [entry.sends for entry in sending.outbox.pending()] == [2]


def test_resending_backs_off_while_the_ledger_does_not_grow(sending: Sending) -> None:
    sending.add(certified(ONE, UP, 10))
    begun = sending.clock.now

    at = []
    for _ in range(600):
        if sending.step():
            at.append(sending.clock.now - begun)
        sending.clock.sleep(1)

    assert BACK_OFF_SECONDS == (10, 30, 60, 120)
    assert at == [0, 10, 40, 100, 220, 340, 460, 580]


def test_an_event_is_sent_again_ten_seconds_after_the_ledger_has_grown(sending: Sending) -> None:
    """The ledger works again, and a gateway has lost the event."""
    event = certified(ONE, UP, 10)
    sending.add(event)
    for _ in range(101):
        sending.step()
        sending.clock.sleep(1)
    sending.apply(certified(TWO, UP, 10))

    sent = [sending.step()]
    sending.clock.sleep(RESEND_AFTER_SECONDS - 0.1)
    sent.append(sending.step())
    sending.clock.sleep(0.1)

    assert sent == [[], []]
    assert sending.step() == [event]


def test_nothing_is_sent_again_before_the_ledger_is_read_to_its_end(sending: Sending) -> None:
    """After a change of the leader the ledger may have the event already."""
    event, fresh = certified(ONE, UP, 10), certified(TWO, UP, 11)
    sending.add(event)
    sending.step()
    sending.is_caught_up = False
    sending.clock.sleep(3600)
    sending.add(fresh)

    while_reading = [sending.step(), sending.step()]
    sending.apply(event)
    sending.is_caught_up = True

    assert while_reading == [[fresh], []]
    assert sending.step() == []
    assert sending.waiting() == [fresh]


def test_nothing_overtakes_an_event_that_must_be_sent_again(sending: Sending) -> None:
    first, second = certified(ONE, UP, 10), certified(ONE, DOWN, 11)
    sending.add(first)
    sending.step()
    sending.is_caught_up = False
    sending.clock.sleep(3600)
    sending.add(second, certified(TWO, UP, 11))

    while_reading = sending.step()
    sending.is_caught_up = True

    assert while_reading == [certified(TWO, UP, 11)]
    assert sending.step() == [first, second]


def test_a_checkpoint_takes_along_what_may_be_lost(sending: Sending) -> None:
    """A gateway may have lost the status. Alone, the checkpoint would make it stale."""
    sending.apply(certified(TWO, UP, 8))
    status = certified(ONE, UP, 9)
    sending.add(status)
    sending.step()
    sending.clock.sleep(RESEND_AFTER_SECONDS)
    sending.step()
    sending.clock.sleep(RESEND_AFTER_SECONDS)
    mark = sending.mark(30)
    sending.add(mark)

    assert sending.step() == [status, mark]


@pytest.mark.parametrize("ahead", [-86_400.0, -3600.0, -7.0, 7.0, 3600.0, 86_400.0])
def test_a_wall_clock_that_is_set_changes_nothing(sending: Sending, ahead: float) -> None:
    events = [certified(ONE, UP, 10), certified(TWO, UP, 10)]
    sending.add(events[0])
    sent = [sending.step()]
    sending.add(events[1], not_before=sending.wall() + ROUNDS.seconds)
    sent.append(sending.step())

    sending.ahead = ahead
    sent.append(sending.step())
    sending.clock.sleep(ROUNDS.seconds)
    sent.append(sending.step())
    sending.clock.sleep(RESEND_AFTER_SECONDS - ROUNDS.seconds)
    sent.append(sending.step())

    assert sent == [[events[0]], [], [], [events[1]], [events[0]]]
    assert sending.waiting() == events


def test_a_clock_that_was_set_during_a_restart_delays_by_the_rank_at_most(sending: Sending) -> None:
    event = certified(ONE, UP, 10)
    sending.add(event, not_before=sending.wall() + 3600)
    sending.crash()
    sending.open()

    early = sending.step()
    sending.clock.sleep(RANK * ROUNDS.seconds)

    assert early == []
    assert sending.step() == [event]


def test_an_event_stays_due_after_a_failed_attempt(sending: Sending) -> None:
    event = certified(ONE, UP, 10)
    sending.add(event)
    sending.post.down = True

    with pytest.raises(LedgerUnavailable):
        sending.step()

    [entry] = sending.outbox.pending()
    assert (entry.sends, entry.sent_at) == (0, None)
    sending.post.down = False
    assert sending.step() == [event]


def test_an_applied_event_is_removed(sending: Sending) -> None:
    event = certified(ONE, UP, 10)
    sending.add(event)
    sending.step()
    sending.apply(event)

    sending.step()

    assert sending.waiting() == []
    assert len(sending.post.sent) == 1


def test_the_same_claim_by_other_signers_counts_as_applied(sending: Sending) -> None:
    sending.add(certified(ONE, UP, 10))

    sending.apply(MEMBERS.status(ONE, UP, 10, [TWO, "operator_3", "operator_4"]))
    sending.step()

    assert sending.waiting() == []
    assert sending.post.sent == []


@pytest.mark.parametrize(
    ("applied", "kept"),
    [
        ([(UP, 10)], False),  # a later event of that status
        ([(DOWN, 10)], False),  # a later event of the other
        ([(DOWN, 9)], False),  # the opposite about the same round: the log applies only one
        ([(UP, 8)], False),  # an earlier one: the log is at that status already
        ([(DOWN, 8)], True),
        ([(UP, 7), (DOWN, 8)], True),
        ([(DOWN, 7), (UP, 8)], False),
    ],
)
def test_an_event_that_the_log_would_refuse_is_removed(
    sending: Sending, applied: list[tuple[Status, int]], kept: bool
) -> None:
    event = certified(ONE, UP, 9)
    sending.add(event)
    for status, round_ in applied:
        sending.apply(certified(ONE, status, round_))

    sent = sending.step()

    assert sent == ([event] if kept else [])
    assert sending.waiting() == sent


def test_an_event_waits_however_long_it_takes(sending: Sending) -> None:
    event = certified(ONE, UP, 10)
    sending.add(event)
    sending.step()

    sending.clock.sleep(1_000_000)
    sending.ahead = 1_000_000

    assert sending.step() == [event]


def test_an_event_is_removed_once_log_time_is_max_age_later(sending: Sending) -> None:
    in_time, stale = certified(TWO, UP, 11), certified(ONE, UP, 10)
    sending.add(in_time, stale)
    sending.apply(certified("operator_4", UP, 10))
    last_in_time = 11 + ROUNDS.max_age // ROUNDS.seconds
    sending.apply(sending.mark(last_in_time))

    sending.step()

    assert sending.waiting() == [in_time]


def test_an_event_waits_for_the_one_before_it(sending: Sending) -> None:
    """While the first of down, up, down is pending, the second looks like no change but is one."""
    head, behind, last = certified(ONE, DOWN, 8), certified(ONE, UP, 9), certified(ONE, DOWN, 10)
    sending.apply(certified(ONE, UP, 7))
    sending.add(last, behind, head)

    sending.step()
    assert sending.waiting() == [last, behind, head]

    sending.apply(head)
    sending.step()
    assert sending.waiting() == [last, behind]

    sending.apply(behind, last)
    sending.step()
    assert sending.waiting() == []


def test_after_a_stale_event_only_changes_remain(sending: Sending) -> None:
    sending.apply(certified(ONE, UP, 9))
    sending.add(certified(ONE, DOWN, 10), certified(ONE, UP, 20), certified(ONE, DOWN, 21))
    sending.apply(sending.mark(11 + ROUNDS.max_age // ROUNDS.seconds))

    assert sending.step() == [certified(ONE, DOWN, 21)]
    assert sending.waiting() == [certified(ONE, DOWN, 21)]


def test_under_an_alarm_an_event_is_sent_a_few_times(sending: Sending) -> None:
    """The log cannot tell then what the other logs have."""
    sending.apply(certified(ONE, UP, 9))
    sending.add(certified(ONE, UP, 9))
    sending.log.raise_alarm("diverged", "a test")
    sending.is_caught_up = False

    for _ in range(400):
        sending.step()
        sending.clock.sleep(1)

    assert len(sending.post.sent) == MAX_SENDS_UNDER_ALARM
    assert sending.waiting() == []


def test_the_outbox_survives_a_crash(sending: Sending) -> None:
    events = [certified(ONE, UP, 9), certified(TWO, UP, 10)]
    sending.add(events[0])
    sending.step()
    sending.add(events[1], not_before=sending.clock.now + 5)
    before = sending.outbox.pending()

    sending.crash()
    sending.open()

    assert sending.outbox.pending() == before
    assert sending.step() == []
    sending.clock.sleep(RESEND_AFTER_SECONDS)
    assert sending.step() == events


def test_a_higher_rank_sends_later(sending: Sending) -> None:
    event = certified(ONE, UP, 10)
    sending.add(event, not_before=sending.clock.now + 5)

    early = sending.step()
    sending.clock.sleep(4.9)
    early += sending.step()
    sending.clock.sleep(0.1)

    assert early == []
    assert sending.step() == [event]


def test_a_higher_rank_does_not_send_an_applied_event(sending: Sending) -> None:
    event = certified(ONE, UP, 10)
    sending.add(event, not_before=sending.clock.now + 5)
    sending.apply(event)
    sending.clock.sleep(5)

    assert sending.step() == []
    assert sending.waiting() == []
    assert sending.post.sent == []


def test_the_last_known_status_is_the_newest_pending_one_or_that_of_the_log(
    sending: Sending,
) -> None:
    def known() -> Transition | None:
        return last_known(sending.outbox, sending.log, ONE)

    seen = [known()]
    sending.apply(certified(ONE, UP, 8))
    seen.append(known())
    sending.add(certified(ONE, DOWN, 9), certified(TWO, DOWN, 10))
    seen.append(known())
    sending.add(certified(ONE, UP, 10))
    seen.append(known())

    sending.apply(certified(ONE, DOWN, 11))
    seen.append(known())
    sending.add(certified(ONE, UP, 14), certified(ONE, DOWN, 12))
    seen.append(known())

    starts = [ROUNDS.start(number) for number in (8, 9, 10, 11, 14)]
    assert seen[0] is None
    assert seen[1:] == [
        Transition(status, start)
        for status, start in zip((UP, DOWN, UP, DOWN, UP), starts, strict=True)
    ]


# -- what the ledger does not make final ---------------------------------------------------------


def test_accepted_events_that_are_not_final_are_late_after_thirty_seconds(sending: Sending) -> None:
    sending.add(certified(ONE, UP, 10))
    sending.step()
    sending.clock.sleep(LATE_SECONDS - 5)
    sending.add(certified(TWO, UP, 10), certified("operator_3", UP, 11))
    sending.step()
    sending.clock.sleep(5)
    at_the_bound = sending.submitter.backlog().late
    sending.clock.sleep(10)

    assert at_the_bound == ""
    assert sending.submitter.backlog().late == "3 events accepted, none finalized for 40 s"
    assert sending.submitter.backlog().oldest_seconds == 40


def test_the_ledger_is_not_late_while_events_become_final(sending: Sending) -> None:
    sending.add(*(certified(ONE, UP if number % 2 else DOWN, number) for number in range(12)))
    for number in range(12):
        sending.step()
        sending.apply(certified(ONE, UP if number % 2 else DOWN, number))
        sending.step()
        assert sending.submitter.backlog().late == ""
        sending.clock.sleep(LATE_SECONDS - 1)

    sending.step()

    assert sending.submitter.backlog().accepted == 0


def test_events_that_no_gateway_accepts_are_not_called_accepted(sending: Sending) -> None:
    sending.add(certified(ONE, UP, 10))
    sending.post.down = True
    for _ in range(5):
        with pytest.raises(LedgerUnavailable):
            sending.step()
        sending.clock.sleep(20)

    backlog = sending.submitter.backlog()
    assert (backlog.accepted, backlog.oldest_seconds) == (0, 100)
    assert backlog.late == "1 event sent, none accepted for 100 s"
    sending.post.down = False
    assert len(sending.step()) == 1
    assert sending.submitter.backlog().late == ""


def test_an_event_that_gateways_refuse_is_late_unless_they_accept_others(sending: Sending) -> None:
    sending.post.refused = ONE
    sending.add(certified(ONE, UP, 10))
    for _ in range(4):
        sending.step()
        sending.clock.sleep(10)
    assert sending.submitter.backlog().late == "1 event sent, none accepted for 40 s"

    sending.add(certified(TWO, UP, 10))
    sending.step()

    assert sending.submitter.backlog().late == ""


def test_an_event_that_the_log_cannot_apply_says_nothing_about_the_ledger(sending: Sending) -> None:
    """Anyone can cause one: a refutation of a window whose predecessor was never certified."""
    stuck, down = window(5, InvalidReason.STARK), certified(ONE, DOWN, 10)
    sending.add(stuck)
    sending.step()
    sending.clock.sleep(LATE_SECONDS + 10)
    sending.step()
    assert sending.submitter.backlog().late == ""

    sending.add(down)
    sending.step()
    sending.clock.sleep(LATE_SECONDS + 1)

    assert sending.submitter.backlog().late == "2 events accepted, none finalized for 31 s"


def test_a_frozen_ledger_gets_one_event_five_times_in_four_minutes(sending: Sending) -> None:
    sending.add(certified(ONE, UP, 10))
    for _ in range(240):
        sending.step()
        sending.clock.sleep(1)

    assert len(sending.post.sent) == 5


# -- windows -------------------------------------------------------------------------------------

STREAM = bytes([1]) * 32


def window(
    number: int,
    fault: InvalidReason = InvalidReason.NONE,
    *,
    proof: int = 7,
    stream: bytes = STREAM,
) -> Event:
    verdict = Verdict.VALID if fault is InvalidReason.NONE else Verdict.INVALID
    header, previous = bytes([100 + number]) * 32, bytes([99 + number]) * 32
    previous = previous if number else stream
    claim = WindowClaim(
        *(stream, number, previous, header, verdict, fault),
        *(bytes([proof]) * 32, "standard", ROUNDS.start(10)),
    )
    return MEMBERS.certify(claim, (ONE, TWO, "operator_3"))


def test_a_window_waits_until_it_is_applied(sending: Sending) -> None:
    sending.add(window(0))
    assert sending.step() == [window(0)]

    sending.apply(window(0))

    assert sending.step() == []
    assert sending.waiting() == []


def test_a_refuted_proof_waits_until_it_is_applied(sending: Sending) -> None:
    sending.add(window(0, InvalidReason.STARK))
    assert sending.step() == [window(0, InvalidReason.STARK)]

    sending.apply(window(0, InvalidReason.STARK))

    assert sending.step() == []
    assert sending.waiting() == []


def test_a_window_is_superseded_by_another_certificate_on_it(sending: Sending) -> None:
    """Another aggregator had the same window certified, with another proof."""
    sending.add(window(0))

    sending.apply(window(0, proof=8), window(1))

    assert sending.step() == []
    assert sending.waiting() == []


def test_a_window_that_is_stale_by_log_time_is_removed(sending: Sending) -> None:
    sending.add(window(0))
    sending.apply(certified(ONE, UP, 10))
    sending.apply(sending.mark(11 + ROUNDS.max_age // ROUNDS.seconds))

    assert sending.step() == []
    assert sending.waiting() == []


def test_streams_and_nodes_do_not_wait_for_each_other(sending: Sending) -> None:
    events = [certified(ONE, UP, 10), window(0), window(0, stream=bytes([2]) * 32)]
    sending.add(*events)

    assert sending.step() == events


def test_an_event_that_could_not_be_stored_does_not_wait_in_the_outbox(sending: Sending) -> None:
    """The table is read again after each change, whether it succeeded or not."""
    up = certified(ONE, UP, 1)
    assert sending.waiting() == []
    sending.database.query("PRAGMA busy_timeout = 0", {})
    with closing(sqlite3.connect(sending.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError):
            sending.add(up)
        assert sending.waiting() == []
        other.execute("ROLLBACK")

    sending.add(up)
    assert sending.waiting() == [up]
    assert [entry.sends for entry in sending.outbox.pending()] == [0]
    sending.step()
    assert [entry.sends for entry in sending.outbox.pending()] == [1]


class Paused(Database):
    """A database whose next query returns to another thread only when that one may go on."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SCHEMA)
        self.pauses, self.has_read, self.may_go_on = False, threading.Event(), threading.Event()

    def query(self, sql: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        found = super().query(sql, values)
        if self.pauses:
            self.pauses = False
            self.has_read.set()
            self.may_go_on.wait(PATIENCE_SECONDS)
        return found


@pytest.mark.parametrize("lines", range(16))
def test_a_slow_reader_hides_no_added_event_from_another_one(tmp_path: Path, lines: int) -> None:
    """The slow one, which has read the table before, ends after some lines of the other one."""
    with closing(Paused(tmp_path / "aggregator.db")) as database:
        outbox = Outbox(database)
        database.pauses = True
        slow = threading.Thread(target=outbox.pending)
        slow.start()
        assert database.has_read.wait(PATIENCE_SECONDS)
        outbox.add(certified(ONE, UP, 10), not_before=0.0)
        left, before = lines, sys.gettrace()

        def trace(frame: FrameType, event: str, _argument: object) -> Any:
            nonlocal left
            if event == "line" and frame.f_code.co_filename == outbox_module.__file__:
                left -= 1
                if left < 0 and not database.may_go_on.is_set():
                    database.may_go_on.set()
                    slow.join(PATIENCE_SECONDS)
            return trace

        sys.settrace(trace)
        try:
            found = outbox.pending()
        finally:
            sys.settrace(before)
            database.may_go_on.set()
            slow.join(PATIENCE_SECONDS)

        assert [entry.event for entry in found] == [certified(ONE, UP, 10)]


@dataclass
class Turns:
    """The events that a sender's thread waits for: waits are noted, and the last one stops it."""

    turns: int
    waits: list[tuple[str, float | None]] = field(default_factory=list)
    stop: Noting = field(init=False)
    added: Noting = field(init=False)

    def __post_init__(self) -> None:
        self.stop, self.added = Noting("stop", self), Noting("added", self)


class Noting(threading.Event):
    """An event whose waits return at once."""

    def __init__(self, name: str, turns: Turns) -> None:
        super().__init__()
        self._name, self._turns = name, turns

    def wait(self, timeout: float | None = None) -> bool:
        self._turns.waits.append((self._name, timeout))
        if len(self._turns.waits) == self._turns.turns:
            self._turns.stop.set()
        return self.is_set()


def send_in_turns(sending: Sending, turns: int) -> list[tuple[str, float | None]]:
    """Run the sender's thread for a number of waits. Returns what it waited for, and how long."""
    noted = Turns(turns)
    sending.outbox.added = noted.added
    sending.submitter.run(noted.stop)
    return noted.waits


def test_an_event_that_is_added_while_nothing_waits_is_sent_at_once(sending: Sending) -> None:
    noted = Turns(3)
    sending.outbox.added = noted.added
    wait = noted.added.wait

    def add_once(timeout: float | None = None) -> bool:
        if not sending.waiting():
            sending.add(certified(ONE, UP, 10))
            assert noted.added.is_set()  # so the real event ends the wait
        return wait(timeout)

    noted.added.wait = add_once  # type: ignore[method-assign]
    sending.submitter.run(noted.stop)

    assert [len(batch) for batch in sending.post.sent] == [1]
    assert [what for what, _ in noted.waits] == ["added", "stop", "added"]


@pytest.mark.parametrize(("events", "seconds"), [(1, 0.05), (3, 0.15), (5, 0.25), (9, 0.25)])
def test_the_more_was_sent_the_longer_the_next_events_are_collected(
    sending: Sending, events: int, seconds: float
) -> None:
    sending.add(*(certified(ONE, UP, 10 + each) for each in range(events)))

    [(what, waited)] = send_in_turns(sending, 1)

    assert what == "stop"  # an addition does not end the collection
    assert waited == pytest.approx(seconds)


def test_a_failed_attempt_is_not_repeated_at_each_addition(sending: Sending) -> None:
    sending.post.down = True
    sending.add(certified(ONE, UP, 10))

    assert send_in_turns(sending, 2) == [("stop", POLL_SECONDS)] * 2
    assert sending.post.sent == []
