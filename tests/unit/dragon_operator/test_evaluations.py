"""One evaluation for each claim: strangers cannot keep an aggregator from its signature."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
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


FEW = Capacity(running=4, pending=4, waiting=6)


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
        self.evaluations = Evaluations(self.capacity, PATIENCE, runtime)
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

    def ask(self, root: bytes, outcome: Outcome = SIGNED) -> bytes:
        """Request a claim whose evaluation takes no time."""
        return self.evaluations.signature(root, lambda: self.evaluation(root, outcome, None))

    def hang(self, root: bytes, outcome: Outcome = SIGNED) -> Future[bytes]:
        """Request a claim whose evaluation lasts until `release`; return once it has begun."""
        begun = threading.Event()
        asked = self.requests.submit(
            self.evaluations.signature, root, lambda: self.evaluation(root, outcome, begun)
        )
        assert begun.wait(PATIENCE)
        return asked

    def waiting(self, root: bytes, number: int) -> list[Future[bytes]]:
        """Let requests wait for an evaluation in progress; return once all of them wait."""
        asked = [self.requests.submit(self.ask, root) for _ in range(number)]
        until(lambda: self.evaluations.waiting(root) >= number + 1)
        return asked


def until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(2000):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("the condition was never met")


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads()
    yield threads
    threads.release.set()
    for pool in threads.pools:
        pool.shutdown(wait=True)


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
    assert capacity.pending == capacity.running == 2 * rounds * len(committee.urls)
