"""What a log says about a past interval, once nothing can be added to it any more."""

from __future__ import annotations

from dragon import errors
from dragon.claim import DowntimeClaim
from dragon.committee import Committee
from dragon.log.repository import Log
from dragon.log.totals import Interval, settled_moment, totals


def settled_claim(
    log: Log, committee: Committee, node_id: str, interval: Interval, now: float
) -> DowntimeClaim:
    """The one claim on an interval of Unix seconds that every log comes to, in the end.

    The size is that of the log after the last segment not later than `settled_moment` of its end:
    nobody chooses it, and every log that has read on has the same.

    Raises NotSettled: its end is not far enough in the past, or the log has not been read that far.
    """
    moment = settled_moment(interval[1], committee.rounds)
    if now <= moment:
        wait = int(moment - now) + 1
        raise errors.NotSettled(f"that time is settled in {wait} s at the earliest", seconds=wait)
    if log.position.proof_time <= moment:
        raise errors.NotSettled("the ledger has not been read beyond that time", moment=moment)
    return claim_at(log, committee, node_id, interval, size=log.size_at(moment))


def claim_at(
    log: Log, committee: Committee, node_id: str, interval: Interval, *, size: int
) -> DowntimeClaim:
    """What the first `size` entries say about it. Raises NotFound: the log is shorter."""
    found = totals(log.state, size, node_id, interval, committee.rounds)
    root = log.checkpoint(size).root
    return DowntimeClaim(node_id, *interval, found.seconds_down, found.seconds_unknown, size, root)
