"""How long a node was down, and for how long nobody knows: half-open integer arithmetic.

Down is from a `down` event's timestamp to the next `up`. Unknown is what no checkpoint vouches for:
before the node's first event, before the first checkpoint, and over the whole stretch between two
consecutive checkpoints that are more than `unknown_after` apart (the end of the log counts as a
checkpoint that never came). Unknown wins over down and up.
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
    seconds_down: int
    seconds_unknown: int


def totals(state: State, size: int, node_id: str, interval: Interval, rounds: Rounds) -> Totals:
    """What the first `size` entries of the log behind `state` say about an interval.

    Intervals that touch add up: the totals of [a, b) and [b, c) are those of [a, c).
    """
    begin, end = interval
    moves = _first(state.nodes.get(node_id, History()), size)
    marks = _first(state.checkpoints, size)
    unknown = _union(_clip(_unknown(moves, marks, interval, rounds), begin, end))
    down = _union(_clip(_down(moves, end), begin, end))
    hidden = sum(_length(_clip(down, *stretch)) for stretch in unknown)
    return Totals(_length(down) - hidden, _length(unknown))


def settled_moment(end: int, rounds: Rounds) -> int:
    """When everything about the time before `end` has reached every log, or never will.

    A checkpoint that vouches for the seconds before `end` is at most `unknown_after` later, and no
    event is applied more than `max_age` after its timestamp.
    """
    return end + rounds.settled_after


def _first(
    items: History[Transition] | History[AppliedCheckpoint], size: int
) -> Sequence[Transition | AppliedCheckpoint]:
    """Those among the first `size` entries of the log."""
    return items[: bisect_left(items, size, key=lambda item: item.position)]


def _unknown(
    moves: Sequence[Transition | AppliedCheckpoint],
    marks: Sequence[Transition | AppliedCheckpoint],
    interval: Interval,
    rounds: Rounds,
) -> Iterable[Interval]:
    begin, end = interval
    if not moves or not marks:
        yield begin, end
        return
    yield begin, max(moves[0].timestamp, marks[0].timestamp)
    for earlier, later in pairwise(marks):
        if later.timestamp - earlier.timestamp > rounds.unknown_after:
            yield earlier.timestamp, later.timestamp
    yield marks[-1].timestamp, end


def _down(moves: Sequence[Transition | AppliedCheckpoint], end: int) -> Iterable[Interval]:
    for at, move in enumerate(moves):
        if isinstance(move, Transition) and move.status is Status.DOWN:
            following = moves[at + 1].timestamp if at + 1 < len(moves) else end
            yield move.timestamp, following


def _clip(intervals: Iterable[Interval], begin: int, end: int) -> list[Interval]:
    clipped = ((max(first, begin), min(last, end)) for first, last in intervals)
    return [(first, last) for first, last in clipped if first < last]


def _union(intervals: list[Interval]) -> list[Interval]:
    """The same seconds, in order and without overlaps."""
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
