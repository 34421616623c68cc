"""Who may verify now: slots, budgets and penalties of known and new streams."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from dragon.errors import AttestationRefused
from dragon.node.penalties import FIRST_PENALTY_SECONDS
from dragon.protocol.refusal import RefusalReason
from dragon_operator import verification_scheduler
from dragon_operator.verification_scheduler import (
    MAX_ACCOUNTS,
    MAX_CONCURRENT_NEW,
    MAX_CONCURRENT_PER_STREAM,
    MAX_CONCURRENT_VERIFICATIONS,
    NEW_BUDGET,
    NEW_CAPACITY,
    STREAM_CAPACITY,
    YIELD_SECONDS,
    VerificationScheduler,
)
from simulation import Clock


def known(number: int) -> bytes:
    return b"k" + number.to_bytes(31, "big")


def new(number: int) -> bytes:
    return b"n" + number.to_bytes(31, "big")


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def used() -> Clock:
    """The processor's clock."""
    return Clock(0.0)


@pytest.fixture
def scheduler(clock: Clock, used: Clock) -> VerificationScheduler:
    return VerificationScheduler(
        lambda stream: stream.startswith(b"k"),
        monotonic=lambda: clock.now,
        processor=lambda: used.now,
    )


def is_busy(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except AttestationRefused as refused:
        return refused.reason == RefusalReason.BUSY
    return False


def verify(scheduler: VerificationScheduler, used: Clock, stream: bytes, seconds: float) -> bool:
    """Whether a window that costs `seconds` of processor time is verified."""
    try:
        with scheduler.turn(stream):
            used.sleep(seconds)
    except AttestationRefused:
        return False
    return True


def test_new_streams_take_no_slot_of_known_ones(scheduler: VerificationScheduler) -> None:
    with ExitStack() as held:
        for number in range(MAX_CONCURRENT_NEW):
            held.enter_context(scheduler.hold(new(number)))
        assert is_busy(lambda: scheduler.hold(new(99)).__enter__())

        for number in range(MAX_CONCURRENT_VERIFICATIONS):
            held.enter_context(scheduler.hold(known(number)))
        assert is_busy(lambda: scheduler.hold(known(99)).__enter__())


def test_one_stream_cannot_take_all_slots(scheduler: VerificationScheduler) -> None:
    with ExitStack() as held:
        for _ in range(MAX_CONCURRENT_PER_STREAM):
            held.enter_context(scheduler.hold(known(1)))
        assert is_busy(lambda: scheduler.hold(known(1)).__enter__())
        held.enter_context(scheduler.hold(new(1)))
        assert is_busy(lambda: scheduler.hold(new(1)).__enter__())
        held.enter_context(scheduler.hold(known(2)))
        held.enter_context(scheduler.hold(new(2)))


def test_new_streams_wait_while_a_known_one_finds_no_slot(
    scheduler: VerificationScheduler, clock: Clock
) -> None:
    with ExitStack() as held:
        for number in range(MAX_CONCURRENT_VERIFICATIONS):
            held.enter_context(scheduler.hold(known(number)))
        scheduler.check(new(1))
        assert is_busy(lambda: scheduler.hold(known(99)).__enter__())

        assert is_busy(lambda: scheduler.check(new(1)))

    scheduler.check(known(99))
    clock.sleep(YIELD_SECONDS)
    scheduler.check(new(1))


def test_all_new_streams_share_one_budget(
    scheduler: VerificationScheduler, clock: Clock, used: Clock
) -> None:
    verified = sum(verify(scheduler, used, new(number), 0.25) for number in range(100))
    assert verified == NEW_CAPACITY / 0.25
    assert verify(scheduler, used, known(1), 0.25)

    clock.sleep(60)
    verified = 0
    for number in range(100, 700):
        clock.sleep(0.1)
        verified += verify(scheduler, used, new(number), 0.25)
    seconds = 60 * NEW_BUDGET + NEW_CAPACITY
    assert seconds <= 0.25 * verified <= seconds + 0.25
    assert scheduler.new_seconds == pytest.approx(0.25 * verified + NEW_CAPACITY)


def test_each_known_stream_has_its_own_budget(
    scheduler: VerificationScheduler, used: Clock
) -> None:
    assert sum(verify(scheduler, used, known(1), 1.0) for _ in range(100)) == STREAM_CAPACITY

    assert is_busy(lambda: scheduler.check(known(1)))
    assert verify(scheduler, used, known(2), 1.0)
    assert verify(scheduler, used, new(1), 1.0)


def test_a_verification_that_fails_is_charged_too(
    scheduler: VerificationScheduler, used: Clock
) -> None:
    def fail() -> None:
        with scheduler.turn(new(1)):
            used.sleep(NEW_CAPACITY)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert is_busy(lambda: scheduler.check(new(2)))


def test_a_stream_with_an_invalid_window_waits(
    scheduler: VerificationScheduler, clock: Clock
) -> None:
    scheduler.note(known(1), valid=False)

    assert is_busy(lambda: scheduler.check(known(1)))
    scheduler.check(known(2))
    clock.sleep(FIRST_PENALTY_SECONDS)
    scheduler.check(known(1))


def test_new_streams_cost_a_known_one_none_of_its_memory(
    scheduler: VerificationScheduler, used: Clock
) -> None:
    scheduler.note(known(1), valid=False)
    assert verify(scheduler, used, known(2), STREAM_CAPACITY)

    for number in range(2 * MAX_ACCOUNTS):
        scheduler.note(new(number), valid=False)

    assert is_busy(lambda: scheduler.check(known(1)))
    assert is_busy(lambda: scheduler.check(known(2)))


def test_the_budgets_that_are_remembered_are_bounded_and_the_last_used_stay(
    scheduler: VerificationScheduler, used: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification_scheduler, "MAX_ACCOUNTS", 2)
    for number in (1, 2):
        assert verify(scheduler, used, known(number), 2 * STREAM_CAPACITY)
    assert is_busy(lambda: scheduler.check(known(1)))  # used last now

    scheduler.check(known(3))

    assert is_busy(lambda: scheduler.check(known(1)))
    assert not is_busy(lambda: scheduler.check(known(2)))


def with_workers(workers: int, clock: Clock, used: Clock) -> VerificationScheduler:
    return VerificationScheduler(
        lambda stream: stream.startswith(b"k"),
        monotonic=lambda: clock.now,
        processor=lambda: used.now,
        workers=workers,
    )


def most(scheduler: VerificationScheduler, stream: Callable[[int], bytes]) -> int:
    """How many streams may verify a window at the same time."""
    with ExitStack() as held:
        for number in range(100):
            try:
                held.enter_context(scheduler.hold(stream(number)))
            except AttestationRefused:
                return number
    return 100


@pytest.mark.parametrize(
    ("workers", "most_known", "most_new"), [(0, 8, 2), (1, 8, 2), (2, 8, 1), (3, 8, 2), (12, 12, 2)]
)
def test_new_streams_never_occupy_the_last_worker(
    workers: int, most_known: int, most_new: int, clock: Clock, used: Clock
) -> None:
    scheduler = with_workers(workers, clock, used)

    assert most(scheduler, new) == most_new
    assert most(scheduler, known) == most_known


def test_the_time_of_another_process_is_charged_too(
    scheduler: VerificationScheduler, used: Clock
) -> None:
    with scheduler.turn(new(1)) as charge:
        used.sleep(0.5)
        charge(NEW_CAPACITY)

    assert is_busy(lambda: scheduler.check(new(2)))
    assert scheduler.new_seconds == NEW_CAPACITY + 0.5
