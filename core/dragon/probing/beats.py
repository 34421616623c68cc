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
        return Judgement(Status.UP, ANSWERED, _in_words(age, newest.passed_on_by))
    if listening <= every_seconds + START_MARGIN_SECONDS:
        message = f"listening for {listening:.0f} s of {every_seconds + START_MARGIN_SECONDS:.0f} s"
        return Judgement.down(NOT_HEARD_YET, message)
    if age is None:
        return Judgement.down(NO_BEAT, f"no beat for over {every_seconds} s")
    return Judgement.down(NO_BEAT, _in_words(age, newest.passed_on_by))


def _in_words(age_seconds: float, passed_on_by: str) -> str:
    source = f", passed on by {passed_on_by}" if passed_on_by else ""
    return f"last beat {age_seconds:.0f} s ago{source}"
