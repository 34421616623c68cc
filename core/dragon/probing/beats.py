"""How a prober learns of the newest beat of a target, and what it concludes."""

from __future__ import annotations

from typing import Final, Protocol

from dragon.probing.judgement import Judgement
from dragon.protocol.claims.status import Status

NO_BEAT: Final = "no_beat"  # down: no beat for longer than the committee file allows
# No evidence: this service has not run long enough to know that a beat is missing.
NOT_HEARD_YET: Final = "not_heard_yet"


class LastBeat(Protocol):
    """Returns the age of the newest verified beat of a target, in seconds by the local clock.

    None if no beat of the target is known. It may be called from any thread, and has to return at
    once.
    """

    def __call__(self, node_id: str, /) -> float | None: ...


def no_beats(_node_id: str, /) -> float | None:
    """Know of no beats: of a service to which nobody passes them on."""
    return None


def judge(age_seconds: float | None, listening_seconds: float, every_seconds: int) -> Judgement:
    """Judge a target by its newest beat.

    Args:
        age_seconds: age of that beat; None if none is known.
        listening_seconds: how long this service has been able to receive beats.
        every_seconds: the longest time without a beat, from the committee file.
    """
    if age_seconds is not None and age_seconds <= every_seconds:
        return Judgement(Status.UP, "answered")
    if listening_seconds < every_seconds:
        message = f"listening for {listening_seconds:.0f} s of {every_seconds} s"
        return Judgement(Status.DOWN, NOT_HEARD_YET, message)
    if age_seconds is None:
        return Judgement(Status.DOWN, NO_BEAT, f"no beat for over {every_seconds} s")
    return Judgement(Status.DOWN, NO_BEAT, f"last beat {age_seconds:.0f} s ago")
