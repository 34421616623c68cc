"""Token buckets of processor time, on a simulated clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragon.errors import RateLimited
from dragon.node.rate_limits import ADVANCE_MS, MAX_ADDRESSES, Bucket, ProcessorShare, Rate

RATE = Rate(capacity_ms=100.0, per_second_ms=50.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def share(clock: Clock, total: Rate | None = None) -> ProcessorShare:
    return ProcessorShare("strangers", RATE, total, clock)


def use(share: ProcessorShare, address: str, milliseconds: float) -> None:
    share.settle(share.admit(address), milliseconds)


def refused(share: ProcessorShare, address: str) -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        share.admit(address)
    return caught.value


def test_an_address_may_use_its_capacity_at_once_and_its_rate_afterwards(clock: Clock) -> None:
    limited, used = share(clock), 0.0
    for _ in range(1000):
        clock.now += 0.01
        try:
            use(limited, "192.0.2.1", 8)
        except RateLimited:
            continue
        used += 8

    assert 100 + 10 * 50 - 8 <= used <= 100 + 10 * 50 + 8


def test_an_expensive_request_is_repaid_before_the_next(clock: Clock) -> None:
    limited = share(clock)
    use(limited, "192.0.2.1", 600)

    wait = refused(limited, "192.0.2.1").facts["retry_after"]

    assert wait == 11  # 500 ms of debt and the advance, at 50 ms a second
    clock.now += 9.9
    refused(limited, "192.0.2.1")
    clock.now += 1.1
    limited.admit("192.0.2.1")


@given(st.floats(100, 1e5), st.floats(0, 100))
def test_a_client_that_waits_as_told_is_admitted(cost: float, pause: float) -> None:
    clock = Clock()
    limited = share(clock, Rate(150.0, 60.0))
    use(limited, "192.0.2.1", cost)
    clock.now += pause
    try:
        limited.admit("192.0.2.1")
    except RateLimited as error:
        wait = error.facts["retry_after"]
        assert isinstance(wait, int)
        assert wait >= 1
        clock.now += wait
        limited.admit("192.0.2.1")


def test_concurrent_requests_are_charged_before_they_end(clock: Clock) -> None:
    limited = share(clock)

    admitted = [limited.admit("192.0.2.1") for _ in range(20)]

    assert len(admitted) * ADVANCE_MS == RATE.capacity_ms
    refused(limited, "192.0.2.1")
    limited.settle(admitted[0], 1)
    limited.admit("192.0.2.1")


def test_addresses_do_not_use_each_others_time(clock: Clock) -> None:
    limited = share(clock)
    use(limited, "192.0.2.1", 1000)

    refused(limited, "192.0.2.1")
    limited.admit("192.0.2.2")


def test_many_addresses_together_use_no_more_than_the_total(clock: Clock) -> None:
    limited, used = share(clock, Rate(300.0, 100.0)), 0.0
    for number in range(5000):
        clock.now += 0.002
        try:
            use(limited, str(number), 10)
        except RateLimited:
            continue
        used += 10

    assert used <= 300 + 10 * 100 + 10
    clock.now += 1
    use(limited, "192.0.2.2", 1000)
    assert "together" in str(refused(limited, "192.0.2.3"))
    clock.now += 20
    limited.admit("192.0.2.1")


def test_a_refused_address_does_not_use_the_total(clock: Clock) -> None:
    limited = share(clock, Rate(1000.0, 1.0))
    use(limited, "192.0.2.1", 100)
    for _ in range(10_000):
        refused(limited, "192.0.2.1")

    for number in range(9):
        use(limited, str(number), 99)


def test_the_number_of_remembered_addresses_is_bounded(clock: Clock) -> None:
    limited = share(clock)
    use(limited, "192.0.2.1", 1000)
    for number in range(MAX_ADDRESSES - 1):
        limited.admit(str(number))
        if number % 1000 == 0:
            refused(limited, "192.0.2.1")  # used recently, so it is remembered

    for number in range(2 * MAX_ADDRESSES):
        limited.admit(f"other {number}")
    assert len(limited) == MAX_ADDRESSES


def test_a_clock_that_goes_back_refills_nothing() -> None:
    bucket = Bucket(RATE, 1000.0)
    bucket.add(-150)
    bucket.refill(900.0)

    assert bucket.level_ms == -50
    bucket.refill(901.0)
    assert bucket.level_ms == 0
