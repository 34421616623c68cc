"""Which streams an operator looks at, and how fast; and what it has under way at once."""

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
    RateLimiter,
)
from simulation import Clock

ONE, TWO, THREE = (bytes([i]) * 32 for i in range(3))
RATE = 2.0  # windows a second


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def admission(clock: Clock) -> RateLimiter:
    return RateLimiter(2, RATE, None, lambda: clock.now)


def halves(admission: RateLimiter, stream: bytes, count: int, since: int = 0) -> int:
    """How many of so many new halves of windows are admitted."""
    asked = [partial(admission.take, stream, b"%d" % i) for i in range(since, since + count)]
    return sum(not is_busy(ask) for ask in asked)


def is_busy(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except AttestationRefused as refused:
        return refused.reason == RefusalReason.BUSY
    return False


WINDOWS = int(1 / COST)  # halves of one


# -- a stream's share ----------------------------------------------------------------------------


def test_a_stream_catches_up_with_so_many_windows_at_once(admission: RateLimiter) -> None:
    assert halves(admission, ONE, WINDOWS * CAPACITY + 10) == WINDOWS * CAPACITY


def test_a_stream_beyond_its_share_leaves_the_others_theirs(admission: RateLimiter) -> None:
    halves(admission, ONE, WINDOWS * CAPACITY)

    assert is_busy(lambda: admission.take(ONE, b"one more"))
    assert halves(admission, TWO, WINDOWS * CAPACITY) == WINDOWS * CAPACITY


@pytest.mark.parametrize(("seconds", "windows"), [(0.2, 0), (0.25, 0.5), (1, 2), (10, 20)])
def test_a_share_comes_back_with_time(
    admission: RateLimiter, clock: Clock, seconds: float, windows: float
) -> None:
    halves(admission, ONE, WINDOWS * CAPACITY)

    clock.sleep(seconds)

    assert halves(admission, ONE, 100, since=1000) == WINDOWS * windows


def test_a_share_is_never_more_than_a_burst(admission: RateLimiter, clock: Clock) -> None:
    admission.take(ONE, b"first")

    clock.sleep(10 * CAPACITY)

    assert halves(admission, ONE, WINDOWS * CAPACITY + 10) == WINDOWS * CAPACITY


def test_what_is_refused_costs_nothing_and_is_counted_when_it_comes_again(
    admission: RateLimiter, clock: Clock
) -> None:
    halves(admission, ONE, WINDOWS * CAPACITY)
    for _ in range(100):
        assert is_busy(lambda: admission.take(ONE, b"late"))

    clock.sleep(COST / RATE)

    assert not is_busy(lambda: admission.take(ONE, b"late"))
    assert is_busy(lambda: admission.take(ONE, b"later"))


def test_what_was_counted_is_not_counted_again(admission: RateLimiter) -> None:
    """So nobody uses up a stream's share by repeating its word."""
    for _ in range(10 * CAPACITY):
        admission.take(ONE, b"the same")

    assert halves(admission, ONE, WINDOWS * CAPACITY) == WINDOWS * CAPACITY - 1


def test_what_was_counted_is_taken_although_the_share_is_used_up(admission: RateLimiter) -> None:
    admission.take(ONE, b"before")
    halves(admission, ONE, WINDOWS * CAPACITY)

    assert not is_busy(lambda: admission.take(ONE, b"before"))


def test_the_same_words_of_another_stream_are_its_own(admission: RateLimiter) -> None:
    halves(admission, ONE, WINDOWS * CAPACITY)

    assert halves(admission, TWO, WINDOWS * CAPACITY + 1) == WINDOWS * CAPACITY


def test_only_the_newest_are_remembered_as_counted(admission: RateLimiter, clock: Clock) -> None:
    for i in range(DEDUP_SIZE + 1):
        admission.take(ONE, b"%d" % i)
        clock.sleep(COST / RATE)
    halves(admission, ONE, WINDOWS * CAPACITY, since=DEDUP_SIZE + 1)

    assert not is_busy(lambda: admission.take(ONE, b"%d" % DEDUP_SIZE))
    assert is_busy(lambda: admission.take(ONE, b"0"))


# -- so many streams -----------------------------------------------------------------------------


def test_there_is_room_for_so_many_streams(admission: RateLimiter) -> None:
    admission.take(ONE, b"a")
    admission.take(TWO, b"b")

    assert is_busy(lambda: admission.take(THREE, b"c"))
    assert not is_busy(lambda: admission.take(ONE, b"d"))


def test_a_stream_that_is_idle_makes_room_for_another(admission: RateLimiter, clock: Clock) -> None:
    admission.take(ONE, b"a")
    clock.sleep(1)
    admission.take(TWO, b"b")

    clock.sleep(IDLE_SECONDS - 2)
    assert is_busy(lambda: admission.take(THREE, b"c"))
    clock.sleep(1)
    assert not is_busy(lambda: admission.take(THREE, b"c"))
    assert is_busy(lambda: admission.take(ONE, b"e"))


def test_a_stream_that_goes_on_keeps_its_place(admission: RateLimiter, clock: Clock) -> None:
    for _ in range(3):
        admission.take(ONE, b"a")
        admission.take(TWO, b"b")
        clock.sleep(IDLE_SECONDS - 1)

    assert is_busy(lambda: admission.take(THREE, b"c"))


def test_a_list_admits_its_streams_only(clock: Clock) -> None:
    admission = RateLimiter(2, RATE, {ONE}, lambda: clock.now)

    assert not is_busy(lambda: admission.check_listed(ONE))
    assert is_busy(lambda: admission.check_listed(TWO))


def test_an_empty_list_admits_nobody_and_none_admits_all(clock: Clock) -> None:
    nobody = RateLimiter(2, RATE, frozenset(), lambda: clock.now)
    anybody = RateLimiter(2, RATE, None, lambda: clock.now)

    assert is_busy(lambda: nobody.check_listed(ONE))
    assert not is_busy(lambda: anybody.check_listed(ONE))


# -- slots ---------------------------------------------------------------------------------------


def held(slots: ConcurrencyLimiter, subject: str) -> Callable[[], object]:
    return lambda: slots.hold(subject).__enter__()


def test_one_subject_holds_its_own_slots_only() -> None:
    slots = ConcurrencyLimiter(4, 2)

    with slots.hold("one"), slots.hold("one"):
        assert is_busy(held(slots, "one"))
        with slots.hold("two"), slots.hold("two"):
            assert is_busy(held(slots, "three"))


def test_a_slot_is_free_again_however_it_ends() -> None:
    slots = ConcurrencyLimiter(1, 1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), slots.hold("one"):
            raise ZeroDivisionError

    with slots.hold("two"):
        assert is_busy(held(slots, "one"))
    with slots.hold("one"):
        pass
