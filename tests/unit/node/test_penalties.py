"""Penalties: they double with each invalid window, end with a valid one, and are bounded."""

from __future__ import annotations

import pytest

from dragon.node.penalties import (
    FIRST_PENALTY_SECONDS,
    MAX_PENALIZED_STREAMS,
    MAX_PENALTY_SECONDS,
    Penalties,
)
from simulation import Clock

KNOWN, NEW = b"k" * 32, b"n" * 32


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def penalties(clock: Clock) -> Penalties:
    return Penalties(lambda stream: stream.startswith(b"k"), lambda: clock.now)


@pytest.mark.parametrize("stream", [KNOWN, NEW])
def test_each_invalid_window_doubles_the_penalty_up_to_a_limit(
    penalties: Penalties, clock: Clock, stream: bytes
) -> None:
    waited = []
    for _ in range(11):
        penalties.note(stream, valid=False)
        waited.append(penalties.left(stream))
        clock.sleep(waited[-1])
        assert penalties.left(stream) == 0

    assert waited[:3] == [FIRST_PENALTY_SECONDS * factor for factor in (1, 2, 4)]
    assert waited[-2:] == [MAX_PENALTY_SECONDS] * 2


def test_a_valid_window_ends_the_penalty(penalties: Penalties) -> None:
    for _ in range(5):
        penalties.note(KNOWN, valid=False)

    penalties.note(KNOWN, valid=True)

    assert penalties.left(KNOWN) == 0
    penalties.note(KNOWN, valid=False)
    assert penalties.left(KNOWN) == FIRST_PENALTY_SECONDS


def test_the_oldest_penalty_is_forgotten_and_none_of_the_other_class(penalties: Penalties) -> None:
    streams = [b"n%31d" % number for number in range(MAX_PENALIZED_STREAMS + 1)]
    for stream in (KNOWN, *streams):
        penalties.note(stream, valid=False)

    assert penalties.left(streams[0]) == 0
    assert all(penalties.left(stream) for stream in (KNOWN, *streams[1:]))
