"""Whether the log says anything about the present. Otherwise every status is unknown.

A log that has stopped, or that nobody confirms, says what was. To show it as what is would be green
without a reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dragon_explorer.sources import Sources

# A checkpoint is as old as its round, and operators sign within seconds. So one that lies further
# in the future shows that this machine's clock is behind.
CLOCK_BEHIND_SECONDS: Final = 30


def doubt(sources: Sources, now: float) -> str:
    """Return why the log says nothing about the present; empty if it does. `now`: Unix seconds."""
    log, rounds = sources.log, sources.committee.rounds
    age = now - log.state.log_time(sources.committee)
    if log.alarm():
        return "the log has stopped with an alarm"
    if not sources.follower.has_read_all:
        return "the ledger has not been read to its end since the start of this explorer"
    if clock := clock_doubt(age):
        return clock
    if age > rounds.unknown_after:
        return f"no checkpoint has been certified for {age:.0f} s"
    return ""


def clock_doubt(age: float) -> str:
    """Say that the clock is behind if the age of the last checkpoint (seconds) is negative."""
    if age >= -CLOCK_BEHIND_SECONDS:
        return ""
    return f"the clock of this machine is {-age:.0f} s behind the last checkpoint"


def clock_reasons(sources: Sources, now: float) -> Iterator[str]:
    """The reason for `/readyz` if the clock is behind."""
    if why := clock_doubt(now - sources.log.state.log_time(sources.committee)):
        yield f"clock: {why}"
