"""Sums over checkpoints and transitions, from which the totals of any interval follow quickly.

Anyone may ask for totals of any interval, so the cost must not grow with the log: a query takes a
few binary searches. All times are Unix seconds.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from dragon.protocol.claims.status import Status
from dragon.protocol.rounds import Rounds
from dragon.protocol.state import AppliedCheckpoint, History, State, Transition


@dataclass(frozen=True, slots=True)
class Totals:
    """Seconds of an interval; the other seconds are certified up."""

    seconds_down: int
    seconds_unknown: int


class DowntimeIndex:
    """The sums of one log. Any thread may use it."""

    def __init__(self, rounds: Rounds) -> None:
        self._lock = threading.Lock()  # guards the next two lines
        self._checkpoints = _Checkpoints(rounds.unknown_after)
        self._nodes: dict[str, _Transitions] = {}

    def extend(self, state: State) -> None:
        """Add what a later state of the same log has. This may take long for the first state."""
        with self._lock:
            self._checkpoints.extend(state.checkpoints)
            for node_id, transitions in state.nodes.items():
                known = self._nodes.setdefault(node_id, _Transitions())
                known.extend(transitions, self._checkpoints)

    def totals(self, size: int, node_id: str, interval: tuple[int, int]) -> Totals:
        """Return the totals of an interval according to the first `size` entries of the log."""
        begin, end = interval
        with self._lock:
            checkpoints = self._checkpoints
            transitions = self._nodes.get(node_id, _Transitions())
            moves = bisect_left(transitions.positions, size)
            marks = bisect_left(checkpoints.positions, size)
            if not moves or not marks:
                return Totals(0, end - begin)
            # Before the first of both and after the last checkpoint, everything is unknown.
            first = max(begin, transitions.times[0], checkpoints.times[0])
            last = min(end, checkpoints.times[marks - 1])
            if first >= last:
                return Totals(0, end - begin)
            known = checkpoints.known(first, last)
            down = transitions.down_before(last, moves, checkpoints)
            down -= transitions.down_before(first, moves, checkpoints)
        return Totals(down, end - begin - known)


class _Checkpoints:
    """The times of all checkpoints, and the unknown seconds before each of them."""

    def __init__(self, unknown_after: int) -> None:
        self._unknown_after = unknown_after
        self.times = array("q")
        self.positions = array("q")
        self._unknown = array("q")  # seconds from the first checkpoint to this one

    def extend(self, checkpoints: History[AppliedCheckpoint]) -> None:
        for checkpoint in checkpoints[len(self.times) :]:
            unknown = self._unknown[-1] if self._unknown else 0
            gap = checkpoint.timestamp - self.times[-1] if self.times else 0
            self._unknown.append(unknown + (gap if gap > self._unknown_after else 0))
            self.times.append(checkpoint.timestamp)
            self.positions.append(checkpoint.position)

    def known(self, begin: int, end: int) -> int:
        """Return the known seconds of an interval that ends at the last checkpoint or before."""
        return end - begin - (self._unknown_before(end) - self._unknown_before(begin))

    def _unknown_before(self, time: int) -> int:
        """Return the unknown seconds before a time, counted from the first checkpoint.

        Negative before the first checkpoint, where all seconds are unknown.
        """
        at = bisect_right(self.times, time) - 1
        if at < 0:
            return time - self.times[0]
        unknown, after = self._unknown[at], self._unknown[at + 1 : at + 2]
        is_gap = bool(after) and after[0] > unknown
        return unknown + (time - self.times[at] if is_gap else 0)


class _Transitions:
    """The transitions of one node, and the known seconds down before each of them."""

    def __init__(self) -> None:
        self.times = array("q")
        self.positions = array("q")
        self._is_down = bytearray()
        self._down = array("q")  # only for transitions that a checkpoint follows

    def extend(self, transitions: History[Transition], checkpoints: _Checkpoints) -> None:
        for transition in transitions[len(self.times) :]:
            self.times.append(transition.timestamp)
            self.positions.append(transition.position)
            self._is_down.append(transition.status is Status.DOWN)
        covered = bisect_right(self.times, checkpoints.times[-1]) if checkpoints.times else 0
        for at in range(len(self._down), covered):
            self._down.append(self._before(at, self.times[at], checkpoints) if at else 0)

    def down_before(self, time: int, count: int, checkpoints: _Checkpoints) -> int:
        """Return the known seconds down before a time, according to `count` transitions.

        The time lies between the first transition and the last checkpoint.
        """
        return self._before(min(bisect_right(self.times, time), count), time, checkpoints)

    def _before(self, count: int, time: int, checkpoints: _Checkpoints) -> int:
        last = count - 1
        running = checkpoints.known(self.times[last], time) if self._is_down[last] else 0
        return self._down[last] + running
