"""What follows from the newest beat of a target."""

from __future__ import annotations

import pytest

from dragon.node.beat_book import NewestBeat
from dragon.probing.beats import judge, no_beats
from dragon.protocol.claims.status import Status

UP, DOWN = Status.UP, Status.DOWN


@pytest.mark.parametrize(
    ("age", "listening", "status", "reason"),
    [
        (0.0, 1.0, UP, "answered"),
        (60.0, 0.0, UP, "answered"),  # a beat from before a suspension counts
        (60.1, 70.1, DOWN, "no_beat"),
        (60.1, 70.0, DOWN, "not_heard_yet"),  # beats may have come while nobody listened
        (None, 70.0, DOWN, "not_heard_yet"),
        (None, 70.1, DOWN, "no_beat"),
    ],
)
def test_a_target_is_down_if_a_beat_is_missing_that_would_have_been_heard(
    age: float | None, listening: float, status: Status, reason: str
) -> None:
    found = judge(NewestBeat(listening, age), 60)

    assert (found.status, found.reason) == (status, reason)


@pytest.mark.parametrize(
    ("newest", "detail"),
    [
        (NewestBeat(100.0, 3.2, 0), "last beat 3 s ago"),
        (NewestBeat(100.0, 95.0, 0, "operator_2"), "last beat 95 s ago, passed on by operator_2"),
        (NewestBeat(100.0), "no beat in 100 s"),
    ],
)
def test_the_detail_says_how_old_the_newest_beat_is(newest: NewestBeat, detail: str) -> None:
    found = judge(newest, 60)

    assert (found.detail, found.beat) == (detail, newest)


def test_a_service_to_which_nobody_passes_beats_on_never_judges() -> None:
    assert judge(no_beats("machine"), 60).reason == "not_heard_yet"
