"""The seconds of an interval in which a node was down, in maintenance or unknown, by the log.

All intervals are half-open, in Unix seconds. A node is down from the timestamp of a `down` event to
the timestamp of the next `up` event. Its status is unknown in times that no mark covers:
before the node's first event, before the first mark, between two consecutive marks that are more
than `unknown_after` apart, after the last mark, and while no committee lists the node. Unknown
takes precedence over down and up. Seconds in maintenance are those of the seconds down that lie in
time announced for the node. Windows may overlap; each second counts once.
"""

from __future__ import annotations

from typing import TypeAlias

from dragon import errors
from dragon.log.downtime_index import DowntimeIndex, Totals
from dragon.log.store import Log
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.state import State

__all__ = ["Interval", "Totals", "claim_at", "settled_claim", "totals"]

Interval: TypeAlias = tuple[int, int]  # [begin, end), Unix seconds


def totals(state: State, size: int, node_id: str, interval: Interval) -> Totals:
    """Return the totals of an interval according to the first `size` entries of a log.

    Totals are additive: those of [a, b) and [b, c) add up to those of [a, c). For repeated queries
    of one log use its index (`Log.totals`).

    Args:
        state: the state of the log with at least `size` entries.
    """
    index = DowntimeIndex()
    index.extend(state)
    return index.totals(size, node_id, interval)


def settled_claim(log: Log, node_id: str, interval: Interval, now: float) -> DowntimeClaim:
    """Return the claim about an interval (Unix seconds). Every log returns the same claim.

    The claim's log ends with the mark that settles the interval's end (`State.settling`). So
    the requester cannot choose its size.

    Args:
        now: the current time in Unix seconds. It does not change the claim; a signer whose clock
            has not reached that mark's earliest time must not sign totals of the future.

    Raises NotSettled: the end is too recent, or no mark settles it yet.
    """
    size = settled_size(log, interval[1], now)
    return claim_at(log, node_id, interval, size=size)


def settled_size(log: Log, end: int, now: float) -> int:
    """Return the size of the log that settles the time before `end`. Every log returns the same.

    `end` and `now` are in Unix seconds. Raises NotSettled.
    """
    state = log.state
    mark = state.settling(end)
    moment = end + (mark or state.committee).rounds.settled_after
    if now <= moment:
        wait = int(moment - now) + 1
        raise errors.NotSettled(
            f"the period is not settled yet; try again in {wait} s", seconds=wait
        )
    if mark is None:
        raise errors.NotSettled(
            f"the log has no mark of {moment} (Unix seconds) or later yet; try again",
            moment=moment,
        )
    return mark.position + 1


def claim_at(log: Log, node_id: str, interval: Interval, *, size: int) -> DowntimeClaim:
    """Return the claim about an interval for the first `size` entries.

    Raises NotFound: the log is shorter.
    """
    root = log.head(size).root
    found = log.totals(size, node_id, interval)
    return DowntimeClaim(
        node_id,
        *interval,
        found.seconds_down,
        found.seconds_maintenance,
        found.seconds_unknown,
        size,
        root,
    )
