"""The seconds of an interval in which a node was down or unknown, computed from the log.

All intervals are half-open, in Unix seconds. A node is down from the timestamp of a `down` event to
the timestamp of the next `up` event. Its status is unknown in times that no checkpoint covers:
before the node's first event, before the first checkpoint, between two consecutive checkpoints that
are more than `unknown_after` apart, and after the last checkpoint. Unknown takes precedence over
down and up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from dragon import errors
from dragon.log.store import Log
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee
from dragon.protocol.rounds import Rounds
from dragon.protocol.state import AppliedCheckpoint, History, State, Transition

Interval: TypeAlias = tuple[int, int]  # [begin, end), Unix seconds


@dataclass(frozen=True, slots=True)
class Totals:
    """Seconds of an interval; the other seconds are certified up."""

    seconds_down: int
    seconds_unknown: int


def totals(state: State, size: int, node_id: str, interval: Interval, rounds: Rounds) -> Totals:
    """Return the totals of an interval according to the first `size` entries of a log.

    Totals are additive: those of [a, b) and [b, c) add up to those of [a, c).

    Args:
        state: the state of the log with at least `size` entries.
    """
    begin, end = interval
    transitions = _first(state.nodes.get(node_id, History()), size)
    checkpoints = _first(state.checkpoints, size)
    unknown = _union(_clip(_unknown(transitions, checkpoints, interval, rounds), begin, end))
    down = _union(_clip(_down(transitions, end), begin, end))
    hidden = sum(_length(_clip(down, *stretch)) for stretch in unknown)
    return Totals(_length(down) - hidden, _length(unknown))


def _first(
    items: History[Transition] | History[AppliedCheckpoint], size: int
) -> Sequence[Transition | AppliedCheckpoint]:
    """Return the items among the first `size` entries of the log."""
    return items[: bisect_left(items, size, key=lambda item: item.position)]


def _unknown(
    transitions: Sequence[Transition | AppliedCheckpoint],
    checkpoints: Sequence[Transition | AppliedCheckpoint],
    interval: Interval,
    rounds: Rounds,
) -> Iterable[Interval]:
    begin, end = interval
    if not transitions or not checkpoints:
        yield begin, end
        return
    yield begin, max(transitions[0].timestamp, checkpoints[0].timestamp)
    for earlier, later in pairwise(checkpoints):
        if later.timestamp - earlier.timestamp > rounds.unknown_after:
            yield earlier.timestamp, later.timestamp
    yield checkpoints[-1].timestamp, end


def _down(transitions: Sequence[Transition | AppliedCheckpoint], end: int) -> Iterable[Interval]:
    for at, transition in enumerate(transitions):
        if isinstance(transition, Transition) and transition.status is Status.DOWN:
            following = transitions[at + 1].timestamp if at + 1 < len(transitions) else end
            yield transition.timestamp, following


def _clip(intervals: Iterable[Interval], begin: int, end: int) -> list[Interval]:
    clipped = ((max(first, begin), min(last, end)) for first, last in intervals)
    return [(first, last) for first, last in clipped if first < last]


def _union(intervals: list[Interval]) -> list[Interval]:
    """Return the same seconds, in order and without overlaps."""
    joined: list[Interval] = []
    for first, last in sorted(intervals):
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return joined


def _length(intervals: Iterable[Interval]) -> int:
    return sum(last - first for first, last in intervals)


def settled_claim(
    log: Log, committee: Committee, node_id: str, interval: Interval, now: float
) -> DowntimeClaim:
    """Return the claim about an interval (Unix seconds). Every log returns the same claim.

    The claim's log ends with the checkpoint that settles the interval's end (`State.settling`). So
    the requester cannot choose its size.

    Args:
        now: the current time in Unix seconds. It does not change the claim; a signer whose clock
            has not reached that checkpoint's earliest time must not sign totals of the future.

    Raises NotSettled: the end is too recent, or no checkpoint settles it yet.
    """
    size = settled_size(log, committee, interval[1], now)
    return claim_at(log, committee, node_id, interval, size=size)


def settled_size(log: Log, committee: Committee, end: int, now: float) -> int:
    """Return the size of the log that settles the time before `end`. Every log returns the same.

    `end` and `now` are in Unix seconds. Raises NotSettled.
    """
    moment = end + committee.rounds.settled_after
    if now <= moment:
        wait = int(moment - now) + 1
        raise errors.NotSettled(
            f"the period is not settled yet; try again in {wait} s", seconds=wait
        )
    checkpoint = log.state.settling(end, committee)
    if checkpoint is None:
        raise errors.NotSettled(
            f"the log has no checkpoint of {moment} (Unix seconds) or later yet; try again",
            moment=moment,
        )
    return checkpoint.position + 1


def claim_at(
    log: Log, committee: Committee, node_id: str, interval: Interval, *, size: int
) -> DowntimeClaim:
    """Return the claim about an interval for the first `size` entries.

    Raises NotFound: the log is shorter.
    """
    found = totals(log.state, size, node_id, interval, committee.rounds)
    root = log.head(size).root
    return DowntimeClaim(node_id, *interval, found.seconds_down, found.seconds_unknown, size, root)
