"""One evaluation for each claim: strangers cannot keep an aggregator from its signature."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace

import pytest

from committees import make_members
from dragon.errors import AttestationRefused
from dragon.net.http_client import HttpClient
from dragon.net.runtime import Runtime
from dragon.protocol.refusal import RefusalReason
from dragon_operator.evaluations import (
    MAX_OUTCOMES_KEPT,
    MAX_WAITING_PER_CLAIM,
    Capacity,
    Evaluations,
    Outcome,
    most_claims,
    status_capacity,
)

SIGNED = Outcome(signature=b"signature")
PATIENCE = 20.0  # seconds after which a test that hangs fails


FEW = Capacity(strangers=4, members=2, pending=4, waiting=6)


@dataclass
class Threads:
    """Evaluations on real threads, on a clock that the test sets."""

    capacity: Capacity = FEW
    now: float = 100.0
    pools: list[ThreadPoolExecutor] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        runtime = Runtime(
            http=HttpClient.create(),
            wall=lambda: self.now,
            monotonic=lambda: self.now,
            sleep=lambda _: None,
            entropy=bytes,
            workers=self.workers,
        )
        self.evaluations = Evaluations(lambda: self.capacity, lambda: PATIENCE, runtime)
        self.requests = ThreadPoolExecutor(32)
        self.pools.append(self.requests)
        self.evaluated: list[bytes] = []

    def workers(self, most: int) -> Executor:
        self.pools.append(ThreadPoolExecutor(most))
        return self.pools[-1]

    def evaluation(self, root: bytes, outcome: Outcome, begun: threading.Event | None) -> Outcome:
        self.evaluated.append(root)
        if begun is not None:
            begun.set()
            assert self.release.wait(PATIENCE)
        return outcome

    def ask(self, root: bytes, outcome: Outcome = SIGNED, *, is_member: bool = False) -> bytes:
        """Request a claim whose evaluation takes no time."""
        return self.evaluations.signature(
            root, lambda: self.evaluation(root, outcome, None), is_member=is_member
        )

    def hang(
        self, root: bytes, outcome: Outcome = SIGNED, *, is_member: bool = False
    ) -> Future[bytes]:
        """Request a claim whose evaluation lasts until `release`; return once it has begun."""
        begun = threading.Event()
        asked = self.requests.submit(
            self.evaluations.signature,
            root,
            lambda: self.evaluation(root, outcome, begun),
            is_member=is_member,
        )
        assert begun.wait(PATIENCE)
        return asked

    def waiting(
        self, root: bytes, number: int, *, before: int = 1, is_member: bool = False
    ) -> list[Future[bytes]]:
        """Let requests wait for an evaluation; return once all of them wait, and those before."""
        asked = [self.requests.submit(self.ask, root, is_member=is_member) for _ in range(number)]
        until(lambda: self.evaluations.waiting(root) >= number + before)
        return asked

    def close(self) -> None:
        self.release.set()
        for pool in self.pools:
            pool.shutdown(wait=True)


def until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(2000):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("the condition was never met")


@pytest.fixture
def threads() -> Iterator[Threads]:
    with closing(Threads()) as threads:
        yield threads


def refused(asked: Callable[[], object]) -> str:
    with pytest.raises(AttestationRefused) as error:
        asked()
    return str(error.value.reason)


def test_all_requests_for_one_claim_share_its_evaluation(threads: Threads) -> None:
    first = threads.hang(b"claim")
    others = threads.waiting(b"claim", MAX_WAITING_PER_CLAIM - 1)
    threads.release.set()

    assert {each.result(PATIENCE) for each in (first, *others)} == {b"signature"}
    assert threads.evaluated == [b"claim"]


def test_a_request_beyond_those_that_may_wait_is_busy_and_signed_when_it_asks_again(
    threads: Threads,
) -> None:
    first = threads.hang(b"claim")
    threads.waiting(b"claim", MAX_WAITING_PER_CLAIM - 1)

    assert refused(lambda: threads.ask(b"claim")) == "busy"

    threads.release.set()
    first.result(PATIENCE)
    assert threads.ask(b"claim") == b"signature"
    assert threads.evaluated == [b"claim"]


def test_an_evaluation_goes_on_without_its_requester(threads: Threads) -> None:
    """All waiting places are taken, but the new claim is evaluated nevertheless."""
    hanging = [threads.hang(b"one"), threads.hang(b"two")]
    threads.waiting(b"one", 2)
    threads.waiting(b"two", 2)

    assert refused(lambda: threads.ask(b"aggregator")) == "busy"

    until(lambda: b"aggregator" in threads.evaluated)
    until(lambda: threads.evaluations.pending == 2)
    threads.release.set()
    assert threads.ask(b"aggregator") == b"signature"
    assert [each.result(PATIENCE) for each in hanging] == [b"signature"] * 2


def test_claims_beyond_the_places_are_busy(threads: Threads) -> None:
    for number in range(4):
        threads.hang(bytes([number]))

    assert refused(lambda: threads.ask(b"another")) == "busy"


def test_strangers_take_no_capacity_of_members(threads: Threads) -> None:
    """All threads, places and waiting requests of strangers are taken."""
    strangers = [threads.hang(bytes([number])) for number in range(4)]
    threads.waiting(b"\0", 2)
    assert refused(lambda: threads.ask(b"another")) == "busy"

    assert threads.ask(b"another", is_member=True) == b"signature"

    joined = threads.requests.submit(threads.ask, b"\0", is_member=True)
    until(lambda: threads.evaluations.waiting(b"\0") == 4)
    threads.release.set()
    assert {each.result(PATIENCE) for each in (*strangers, joined)} == {b"signature"}


def test_a_claim_that_a_stranger_requested_first_moves_to_the_threads_of_members() -> None:
    capacity = Capacity(strangers=1, members=1, pending=4, waiting=6)
    with closing(Threads(capacity)) as threads:
        hanging = threads.hang(b"stranger")
        first = threads.waiting(b"claim", 1, before=0)

        assert threads.ask(b"claim", is_member=True) == b"signature"

        assert first[0].result(PATIENCE) == b"signature"
        assert threads.evaluated == [b"stranger", b"claim"]
        assert not hanging.done()


def test_a_claim_that_a_member_requested_first_stays_where_it_is() -> None:
    capacity = Capacity(strangers=1, members=1, pending=4, waiting=6)
    with closing(Threads(capacity)) as threads:
        threads.hang(b"hangs", is_member=True)
        threads.waiting(b"claim", 1, before=0, is_member=True)
        threads.waiting(b"claim", 1, before=1)

        assert threads.evaluated == [b"hangs"]


def test_a_member_without_a_place_joins_the_evaluation_for_a_stranger() -> None:
    capacity = Capacity(strangers=1, members=1, pending=1, waiting=6)
    with closing(Threads(capacity)) as threads:
        threads.hang(b"member", is_member=True)
        threads.hang(b"claim")
        [joined] = threads.waiting(b"claim", 1, is_member=True)
        assert refused(lambda: threads.ask(b"other", is_member=True)) == "busy"
        threads.release.set()

        assert joined.result(PATIENCE) == b"signature"


def test_a_claim_keeps_its_turn_when_another_member_requests_it() -> None:
    capacity = Capacity(strangers=1, members=1, pending=4, waiting=6)
    with closing(Threads(capacity)) as threads:
        asked = [threads.hang(b"hangs", is_member=True)]
        asked += threads.waiting(b"claim", 1, before=0, is_member=True)
        asked += threads.waiting(b"later", 1, before=0, is_member=True)
        asked += threads.waiting(b"claim", 1, is_member=True)
        threads.release.set()

        assert {each.result(PATIENCE) for each in asked} == {b"signature"}
        assert threads.evaluated == [b"hangs", b"claim", b"later"]


def test_a_claim_of_a_stranger_stays_where_it_is_if_members_have_no_place() -> None:
    capacity = Capacity(strangers=1, members=1, pending=2, waiting=6)
    with closing(Threads(capacity)) as threads:
        asked = [threads.hang(b"member", is_member=True), threads.hang(b"stranger")]
        asked += threads.waiting(b"of a member", 1, before=0, is_member=True)
        asked += threads.waiting(b"claim", 1, before=0)
        asked += threads.waiting(b"claim", 1, is_member=True)
        threads.release.set()

        assert {each.result(PATIENCE) for each in asked} == {b"signature"}


def test_an_evaluation_that_begins_after_the_request_answers_it(threads: Threads) -> None:
    """Even if its refusal rests on a shared observation that counts no longer."""
    old = refusal(RefusalReason.SEES_UP, threads.now - 1)
    outcomes = iter([old, SIGNED])

    assert refused(lambda: threads.evaluations.signature(b"claim", lambda: next(outcomes))) == (
        "sees_up"
    )


def test_the_threads_for_status_claims_are_bounded_whatever_the_number_of_nodes() -> None:
    few, many = (status_capacity(make_members(targets=each).committee) for each in (0, 60))

    assert few.strangers + few.members == many.strangers + many.members == 48
    assert many.pending > few.pending
    assert few.strangers >= 2 * 6  # the claims about one node in rounds of a second


def refusal(reason: RefusalReason, until: float | None = None) -> Outcome:
    return Outcome(refusal=(reason, "why"), counts_until=until)


def test_a_refusal_by_a_probe_is_repeated_only_while_the_probe_counts(threads: Threads) -> None:
    seen = refusal(RefusalReason.SEES_UP, threads.now + 0.3)

    assert refused(lambda: threads.ask(b"claim", seen)) == "sees_up"
    threads.now += 0.3
    assert refused(lambda: threads.ask(b"claim")) == "sees_up"
    threads.now += 0.1
    assert threads.ask(b"claim") == b"signature"
    assert len(threads.evaluated) == 2


def test_an_evaluation_that_began_after_the_request_answers_it_whatever_it_rests_on(
    threads: Threads,
) -> None:
    """It would be repeated for ever else, because a slow probe counts no more at its end."""
    assert refused(lambda: threads.ask(b"claim", refusal(RefusalReason.SEES_UP, 0.0))) == "sees_up"
    assert len(threads.evaluated) == 1


def test_a_request_that_comes_later_does_not_get_a_refusal_by_an_older_probe(
    threads: Threads,
) -> None:
    """A stranger cannot have the answer of a node from before its outage given to an aggregator."""
    early = threads.hang(b"claim", refusal(RefusalReason.SEES_UP, threads.now + 0.3))
    threads.now += 0.5
    [late] = threads.waiting(b"claim", 1)
    threads.release.set()

    assert refused(lambda: early.result(PATIENCE)) == "sees_up"
    assert late.result(PATIENCE) == b"signature"


@pytest.mark.parametrize(
    ("reason", "times"), [("malformed", 1), ("equivocation", 1), ("behind", 2)]
)
def test_a_final_refusal_is_computed_once(threads: Threads, reason: str, times: int) -> None:
    for _ in range(2):
        asked = refused(lambda: threads.ask(b"claim", refusal(RefusalReason(reason))))
        assert asked == reason

    assert len(threads.evaluated) == times


def test_the_outcomes_that_are_kept_are_bounded(threads: Threads) -> None:
    for number in range(MAX_OUTCOMES_KEPT + 10):
        threads.ask(number.to_bytes(2, "big"))

    assert threads.evaluations.kept == MAX_OUTCOMES_KEPT


def test_an_evaluation_that_fails_is_forgotten(threads: Threads) -> None:
    def fail() -> Outcome:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        threads.evaluations.signature(b"claim", fail)

    assert threads.ask(b"claim") == b"signature"


@pytest.mark.parametrize(("seconds", "rounds"), [(1, 6), (2, 4), (5, 3), (60, 2)])
def test_status_claims_have_a_place_for_each_that_can_be_signed(seconds: int, rounds: int) -> None:
    committee = make_members(targets=2).committee
    committee = replace(committee, rounds=replace(committee.rounds, seconds=seconds))
    numbers = committee.rounds
    now = numbers.start(100)
    found = max(
        sum(numbers.in_signing_span(number, now + part * seconds / 64) for number in range(80, 120))
        for part in range(128)
    )

    assert found == rounds
    assert most_claims(committee) == 2 * rounds
    capacity = status_capacity(committee)
    assert capacity.pending == 2 * rounds * len(committee.urls)


def test_strangers_wait_in_proportion_to_their_last_evaluation() -> None:
    capacity = Capacity(strangers=1, members=1, pending=1, waiting=4, strangers_rest=9.0)
    with closing(Threads(capacity)) as threads:
        asked = threads.hang(b"one")
        threads.now += 2.0
        threads.release.set()
        asked.result(PATIENCE)
        until(lambda: not threads.evaluations.pending)

        assert refused(lambda: threads.ask(b"two")) == RefusalReason.BUSY
        assert threads.ask(b"one") == b"signature"  # its outcome is known
        threads.now += 18.0 - 0.01
        assert refused(lambda: threads.ask(b"two")) == RefusalReason.BUSY
        threads.now += 0.01
        assert threads.ask(b"two") == b"signature"


def test_members_never_wait_for_the_pauses_of_strangers() -> None:
    capacity = Capacity(strangers=1, members=1, pending=1, waiting=4, strangers_rest=9.0)
    with closing(Threads(capacity)) as threads:
        stranger = threads.hang(b"one")
        assert refused(lambda: threads.ask(b"two")) == RefusalReason.BUSY
        assert threads.ask(b"two", is_member=True) == b"signature"
        threads.now += 2.0
        threads.release.set()
        stranger.result(PATIENCE)

        assert threads.ask(b"three", is_member=True) == b"signature"
        assert threads.ask(b"four", is_member=True) == b"signature"
