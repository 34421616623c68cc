"""Limits of an operator: streams, windows per second, concurrent work."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from dragon.errors import AttestationRefused
from dragon.protocol.refusal import RefusalReason
from dragon_operator.concurrency_limiter import ConcurrencyLimiter
from dragon_operator.rate_limiter import (
    CAPACITY,
    COST,
    DEDUP_SIZE,
    IDLE_SECONDS,
    MAX_NEW_STREAMS,
    NEW_ANNOUNCEMENTS_CAPACITY,
    NEW_ANNOUNCEMENTS_PER_SECOND,
    RateLimiter,
)
from simulation import Clock

ONE, TWO, THREE = (bytes([i]) * 32 for i in range(3))
KNOWN = {ONE, TWO, THREE}
RATE = 2.0  # windows per second


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def limiter(clock: Clock) -> RateLimiter:
    return RateLimiter(2, RATE, lambda stream: stream in KNOWN, lambda: clock.now)


def accepted(limiter: RateLimiter, stream: bytes, count: int, since: int = 0) -> int:
    """Send `count` new messages; return how many are accepted."""
    asked = [partial(limiter.take, stream, b"%d" % i) for i in range(since, since + count)]
    return sum(not is_busy(ask) for ask in asked)


def is_busy(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except AttestationRefused as refused:
        return refused.reason == RefusalReason.BUSY
    return False


BURST = int(CAPACITY / COST)  # messages that a full bucket covers


# -- tokens of a stream ----------------------------------------------------------------------------


def test_a_full_bucket_covers_a_burst(limiter: RateLimiter) -> None:
    assert accepted(limiter, ONE, BURST + 10) == BURST


def test_a_stream_without_tokens_does_not_affect_another(limiter: RateLimiter) -> None:
    accepted(limiter, ONE, BURST)

    assert is_busy(lambda: limiter.take(ONE, b"one more"))
    assert accepted(limiter, TWO, BURST) == BURST


@pytest.mark.parametrize(("seconds", "windows"), [(0.2, 0), (0.25, 0.5), (1, 2), (10, 20)])
def test_tokens_are_refilled_with_time(
    limiter: RateLimiter, clock: Clock, seconds: float, windows: float
) -> None:
    accepted(limiter, ONE, BURST)

    clock.sleep(seconds)

    assert accepted(limiter, ONE, 100, since=1000) == int(windows / COST)


def test_a_bucket_holds_at_most_its_capacity(limiter: RateLimiter, clock: Clock) -> None:
    limiter.take(ONE, b"first")

    clock.sleep(10 * CAPACITY)

    assert accepted(limiter, ONE, BURST + 10) == BURST


def test_a_refused_message_costs_nothing_and_is_charged_when_repeated(
    limiter: RateLimiter, clock: Clock
) -> None:
    accepted(limiter, ONE, BURST)
    for _ in range(100):
        assert is_busy(lambda: limiter.take(ONE, b"late"))

    clock.sleep(COST / RATE)

    assert not is_busy(lambda: limiter.take(ONE, b"late"))
    assert is_busy(lambda: limiter.take(ONE, b"later"))


def test_a_repeated_message_is_not_charged_again(limiter: RateLimiter) -> None:
    """So nobody can use up a stream's tokens by repeating its messages."""
    for _ in range(10 * CAPACITY):
        limiter.take(ONE, b"the same")

    assert accepted(limiter, ONE, BURST) == BURST - 1


def test_a_charged_message_is_accepted_without_tokens(limiter: RateLimiter) -> None:
    limiter.take(ONE, b"before")
    accepted(limiter, ONE, BURST)

    assert not is_busy(lambda: limiter.take(ONE, b"before"))


def test_the_same_message_of_another_stream_is_charged_separately(limiter: RateLimiter) -> None:
    accepted(limiter, ONE, BURST)

    assert accepted(limiter, TWO, BURST + 1) == BURST


def test_only_the_newest_messages_are_remembered(limiter: RateLimiter, clock: Clock) -> None:
    for i in range(DEDUP_SIZE + 1):
        limiter.take(ONE, b"%d" % i)
        clock.sleep(COST / RATE)
    accepted(limiter, ONE, BURST, since=DEDUP_SIZE + 1)

    assert not is_busy(lambda: limiter.take(ONE, b"%d" % DEDUP_SIZE))
    assert is_busy(lambda: limiter.take(ONE, b"0"))


# -- number of streams -----------------------------------------------------------------------------


def test_streams_beyond_the_maximum_are_refused(limiter: RateLimiter) -> None:
    limiter.take(ONE, b"a")
    limiter.take(TWO, b"b")

    assert is_busy(lambda: limiter.take(THREE, b"c"))
    assert not is_busy(lambda: limiter.take(ONE, b"d"))


def test_an_idle_stream_is_evicted_for_another(limiter: RateLimiter, clock: Clock) -> None:
    limiter.take(ONE, b"a")
    clock.sleep(1)
    limiter.take(TWO, b"b")

    clock.sleep(IDLE_SECONDS - 2)
    assert is_busy(lambda: limiter.take(THREE, b"c"))
    clock.sleep(1)
    assert not is_busy(lambda: limiter.take(THREE, b"c"))
    assert is_busy(lambda: limiter.take(ONE, b"e"))


def test_an_active_stream_is_not_evicted(limiter: RateLimiter, clock: Clock) -> None:
    for number in range(3):
        limiter.take(ONE, b"%d" % number)
        limiter.take(TWO, b"%d" % number)
        clock.sleep(IDLE_SECONDS - 1)

    assert is_busy(lambda: limiter.take(THREE, b"c"))


def test_a_repeated_message_keeps_no_place(limiter: RateLimiter, clock: Clock) -> None:
    for _ in range(2):
        limiter.take(ONE, b"the same")
        limiter.take(TWO, b"the same")
        clock.sleep(IDLE_SECONDS / 2)

    assert not is_busy(lambda: limiter.take(THREE, b"c"))


# -- new streams -----------------------------------------------------------------------------------


def new(number: int) -> bytes:
    return b"new" + number.to_bytes(29, "big")


def test_new_streams_replace_each_other_and_never_a_known_one(
    limiter: RateLimiter, clock: Clock
) -> None:
    """Announcements of 64 new streams filled the places of every operator for an hour."""
    for number in range(10 * MAX_NEW_STREAMS):
        limiter.take(new(number), b"a")

    limiter.take(ONE, b"a")
    limiter.take(TWO, b"b")
    limiter.take(new(-1 % 2**32), b"c")
    accepted(limiter, ONE, BURST - 1)
    for number in range(10 * MAX_NEW_STREAMS):
        limiter.take(new(number), b"b")
    assert is_busy(lambda: limiter.take(ONE, b"more"))  # its bucket was not replaced


def test_new_streams_share_a_limit_for_announcements(limiter: RateLimiter, clock: Clock) -> None:
    announced = [partial(limiter.announce, new(number), b"a") for number in range(200)]
    assert sum(not is_busy(each) for each in announced) == NEW_ANNOUNCEMENTS_CAPACITY

    limiter.announce(ONE, b"a")
    limiter.take(new(1), b"objects")  # the limit is for announcements only
    clock.sleep(1)
    late = [partial(limiter.announce, new(number), b"a") for number in range(200, 400)]
    assert sum(not is_busy(each) for each in late) == NEW_ANNOUNCEMENTS_PER_SECOND


# -- concurrency -----------------------------------------------------------------------------------


def held(limiter: ConcurrencyLimiter, subject: str) -> Callable[[], object]:
    return lambda: limiter.hold(subject).__enter__()


def test_one_subject_cannot_take_all_slots() -> None:
    limiter = ConcurrencyLimiter(4, 2)

    with limiter.hold("one"), limiter.hold("one"):
        assert is_busy(held(limiter, "one"))
        with limiter.hold("two"), limiter.hold("two"):
            assert is_busy(held(limiter, "three"))


def test_a_slot_is_released_after_an_error() -> None:
    limiter = ConcurrencyLimiter(1, 1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), limiter.hold("one"):
            raise ZeroDivisionError

    with limiter.hold("two"):
        assert is_busy(held(limiter, "one"))
    with limiter.hold("one"):
        pass
