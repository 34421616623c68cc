"""What follows from the newest beat of a target."""

from __future__ import annotations

import pytest

from dragon.probing.beats import judge, no_beats
from dragon.protocol.claims.status import Status

UP, DOWN = Status.UP, Status.DOWN


@pytest.mark.parametrize(
    ("age", "listening", "status", "reason"),
    [
        (60.0, 0.0, UP, "answered"),  # a beat from before the start counts
        (60.1, 60.0, DOWN, "no_beat"),
        (60.1, 59.9, DOWN, "not_heard_yet"),  # beats may have come while nobody listened
        (None, 59.9, DOWN, "not_heard_yet"),
        (None, 60.0, DOWN, "no_beat"),
    ],
)
def test_a_target_is_down_if_a_beat_is_missing_that_would_have_been_heard(
    age: float | None, listening: float, status: Status, reason: str
) -> None:
    found = judge(age, listening, 60)

    assert (found.status, found.reason) == (status, reason)


def test_a_service_without_beats_knows_of_none() -> None:
    assert no_beats("machine") is None
