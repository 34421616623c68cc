"""False proofs of strangers give a bounded number of log entries."""

from __future__ import annotations

import pytest

from dragon.node import refutation_limit
from dragon.node.refutation_limit import RefutationLimit, RefutationRate
from simulation import Clock

RATE = RefutationRate(capacity=4, seconds_each=60.0)
PROOF = bytes(32)


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def limit(clock: Clock) -> RefutationLimit:
    return RefutationLimit(RATE, lambda stream: stream == b"known", lambda: clock.now)


def admitted(limit: RefutationLimit, count: int, tag: str = "") -> int:
    return sum(limit.admits(f"{tag}{number}".encode(), 0, PROOF) for number in range(count))


def test_new_streams_share_one_limit(limit: RefutationLimit, clock: Clock) -> None:
    assert admitted(limit, 100, "a") == RATE.capacity
    clock.sleep(2.5 * RATE.seconds_each)
    assert admitted(limit, 100, "b") == 2
    clock.sleep(100 * RATE.seconds_each)
    assert admitted(limit, 100, "c") == RATE.capacity


def test_a_window_is_charged_once(limit: RefutationLimit) -> None:
    assert admitted(limit, 1) == 1
    assert sum(limit.admits(b"0", 0, PROOF) for _ in range(100)) == 100
    assert [limit.admits(b"0", 1, PROOF), limit.admits(b"0", 0, b"other")] == [True, True]
    assert admitted(limit, 100, "a") == RATE.capacity - 3


def test_known_streams_are_not_limited(limit: RefutationLimit) -> None:
    admitted(limit, 100)

    assert all(limit.admits(b"known", number, PROOF) for number in range(100))


def test_the_windows_that_are_not_charged_again_are_bounded(
    limit: RefutationLimit, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refutation_limit, "MAX_ADMITTED_KEPT", 2)
    assert admitted(limit, 3) == 3

    assert limit.admits(b"0", 0, PROOF)  # charged again
    assert not limit.admits(b"new", 0, PROOF)
