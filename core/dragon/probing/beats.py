"""What a prober concludes from the newest beat of a target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from dragon.node.beat_book import NewestBeat
from dragon.probing.judgement import ANSWERED, Judgement
from dragon.protocol.claims.status import Status

START_MARGIN_SECONDS: Final = 10.0  # of listening without a beat, beyond what the file allows
NO_BEAT: Final = "no_beat"  # down: no beat for longer than the committee file allows
# No evidence: this service has not run long enough to know that a beat is missing.
NOT_HEARD_YET: Final = "not_heard_yet"

# Returns what is known of a target's beats, on any thread and at once.
LastBeat: TypeAlias = Callable[[str], NewestBeat]


def no_beats(_node_id: str) -> NewestBeat:
    """Know of no beats: of a service to which nobody passes them on."""
    return NewestBeat(listening_seconds=0.0)


def judge(newest: NewestBeat, every_seconds: int) -> Judgement:
    """Judge a target by its newest beat.

    Args:
        every_seconds: the longest time without a beat, from the committee file.
    """
    age, listening = newest.age_seconds, newest.listening_seconds
    if age is not None and age <= every_seconds:
        return _judgement(Status.UP, ANSWERED, newest)
    if listening <= every_seconds + START_MARGIN_SECONDS:
        return _judgement(Status.DOWN, NOT_HEARD_YET, newest)
    return _judgement(Status.DOWN, NO_BEAT, newest)


def _judgement(status: Status, reason: str, newest: NewestBeat) -> Judgement:
    age, source = newest.age_seconds, newest.passed_on_by
    if age is None:
        detail = f"no beat in {newest.listening_seconds:.0f} s"
    else:
        detail = f"last beat {age:.0f} s ago" + (f", passed on by {source}" if source else "")
    return Judgement(status, reason, detail, beat=newest)
