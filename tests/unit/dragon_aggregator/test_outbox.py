"""An event stays in the outbox until it is in the log, superseded, or too old."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from committees import make_members
from dragon.encoding import Json, canonical
from dragon.errors import LedgerUnavailable
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol.claims.status import Status
from dragon.protocol.claims.window import InvalidReason, Verdict, WindowClaim
from dragon.protocol.event import Event
from dragon.protocol.state import Transition
from dragon.storage.database import Database
from dragon_aggregator.outbox import SCHEMA, Outbox, last_known
from dragon_aggregator.submitter import RESEND_AFTER_SECONDS, Submitter
from simulation import Clock

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
    sent: list[list[Json]] = field(default_factory=list)

    def send(self, events: Sequence[dict[str, Json]]) -> None:
        if self.down:
            raise LedgerUnavailable("no gateway answers")
        self.sent.append(list(events))


@dataclass
class Sending:
    """One outbox with its log and clock. The log changes only when a test says so."""

    path: Path
    clock: Clock
    post: Post = field(default_factory=Post)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.database = Database(self.path, LOG_SCHEMA, SCHEMA)
        self.log = Log(self.database, MEMBERS.committee)
        self.outbox = Outbox(self.database)
        self.submitter = Submitter(
            MEMBERS.committee, self.outbox, self.log, self.post, lambda: self.clock.now
        )

    def crash(self) -> None:
        self.database.close()

    def add(self, *events: Event, not_before: float = 0.0) -> None:
        for event in events:
            self.outbox.add(event, not_before=not_before)

    def apply(self, *events: Event) -> None:
        index = self.log.position.index + 1
        time = events[-1].claim.timestamp
        body = canonical([event.to_json() for event in events]).decode()
        position = Position(index, f"{index:032x}")
        self.log.take(ProvenBatch(index, body, time, "{}", position))
        assert self.log.refusals() == {}

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


def test_events_of_a_node_are_sent_in_order_and_one_at_a_time(sending: Sending) -> None:
    first, second, third = (
        certified(ONE, UP, 8),
        certified(ONE, DOWN, 9),
        certified(ONE, UP, 10),
    )
    sending.add(first, second, third)

    flights = [sending.step()]
    flights.append(sending.step())
    sending.apply(first)
    flights.append(sending.step())
    flights.append(sending.step())
    sending.apply(second)
    flights.append(sending.step())

    assert flights == [[first], [], [second], [], [third]]


def test_an_event_that_was_sent_does_not_delay_other_nodes(sending: Sending) -> None:
    sending.add(certified(ONE, UP, 9))
    sending.step()
    sending.add(certified(ONE, DOWN, 10), certified(TWO, UP, 10))

    assert sending.step() == [certified(TWO, UP, 10)]


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


def test_a_clock_that_was_set_back_delays_nothing(sending: Sending) -> None:
    event = certified(ONE, UP, 10)
    sending.add(event)
    sending.step()

    sending.clock.sleep(-3600)

    assert sending.step() == [event]
    assert sending.step() == []


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


def test_an_event_expires_right_after_max_age(sending: Sending) -> None:
    event = certified(ONE, UP, 10)
    sending.add(event)

    sending.clock.now = float(ROUNDS.start(10) + ROUNDS.max_age)
    at_the_bound = sending.step()
    sending.clock.sleep(RESEND_AFTER_SECONDS)

    assert at_the_bound == [event]
    assert sending.step() == []
    assert sending.waiting() == []


def test_an_event_waits_for_the_one_before_it(sending: Sending) -> None:
    """While the first of up, down, up is pending, the third looks like no change but is one."""
    head, behind, last = certified(ONE, DOWN, 8), certified(ONE, UP, 9), certified(ONE, DOWN, 10)
    sending.apply(certified(ONE, UP, 7))
    sending.add(head, behind, last)

    sending.step()
    assert sending.waiting() == [head, behind, last]

    sending.apply(head)
    assert sending.step() == [behind]
    assert sending.waiting() == [behind, last]


def test_after_an_expired_event_only_changes_remain(sending: Sending) -> None:
    sending.apply(certified(ONE, UP, 9))
    sending.add(certified(ONE, DOWN, 10), certified(ONE, UP, 20), certified(ONE, DOWN, 21))
    sending.clock.now = float(ROUNDS.start(10) + ROUNDS.max_age + 1)

    assert sending.step() == [certified(ONE, DOWN, 21)]
    assert sending.waiting() == [certified(ONE, DOWN, 21)]


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

    starts = [ROUNDS.start(number) for number in (8, 9, 10)]
    assert seen[0] is None
    assert seen[1:] == [
        Transition(status, start) for status, start in zip((UP, DOWN, UP), starts, strict=True)
    ]


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


def test_a_window_that_is_too_old_is_removed(sending: Sending) -> None:
    sending.add(window(0))
    sending.clock.now += ROUNDS.max_age + 1

    assert sending.step() == []
    assert sending.waiting() == []


def test_streams_and_nodes_do_not_wait_for_each_other(sending: Sending) -> None:
    events = [certified(ONE, UP, 10), window(0), window(0, stream=bytes([2]) * 32)]
    sending.add(*events)

    assert sending.step() == events
