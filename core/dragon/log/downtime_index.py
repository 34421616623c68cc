"""Sums over marks and transitions, from which the totals of any interval follow quickly.

Anyone may ask for totals of any interval, so the cost must not grow with the log: a query takes a
few binary searches. All times are Unix seconds.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from dragon.encoding import MAX_INTEGER
from dragon.protocol.claims.status import Status
from dragon.protocol.state import History, Mark, State, Transition


@dataclass(frozen=True, slots=True)
class Totals:
    """Seconds of an interval; those that are neither down nor unknown are certified up."""

    seconds_down: int
    seconds_unknown: int
    seconds_maintenance: int = 0  # those of `seconds_down` that lie in announced maintenance


class DowntimeIndex:
    """The sums of one log. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the next two lines
        self._marks = _Marks()
        self._nodes: dict[str, _Transitions] = {}

    def extend(self, state: State) -> None:
        """Add what a later state of the same log has. This may take long for the first state."""
        with self._lock:
            self._marks.extend(state.marks)
            for node_id, transitions in state.nodes.items():
                known = self._nodes.setdefault(node_id, _Transitions())
                known.extend(transitions, self._marks)

    def totals(self, size: int, node_id: str, interval: tuple[int, int]) -> Totals:
        """Return the totals of an interval according to the first `size` entries of the log."""
        begin, end = interval
        with self._lock:
            marks = self._marks
            transitions = self._nodes.get(node_id, _Transitions())
            moves = bisect_left(transitions.positions, size)
            count = bisect_left(marks.positions, size)
            if not moves or not count:
                return Totals(0, end - begin)
            # Before the first of both and after the last mark, everything is unknown, and so it is
            # after a handover that has removed the node: its id never comes back.
            first = max(begin, transitions.times[0], marks.times[0])
            last = min(end, marks.times[count - 1], transitions.removed(size))
            if first >= last:
                return Totals(0, end - begin)
            known = marks.known(first, last)
            down = transitions.down_before(last, moves, marks)
            down -= transitions.down_before(first, moves, marks)
        return Totals(down, end - begin - known)


class _Marks:
    """The times of all marks, and the unknown seconds before each of them."""

    def __init__(self) -> None:
        self.times = array("q")
        self.positions = array("q")
        self._unknown = array("q")  # seconds from the first mark to this one

    def extend(self, marks: History[Mark]) -> None:
        for mark in marks[len(self.times) :]:
            unknown = self._unknown[-1] if self._unknown else 0
            gap = mark.timestamp - self.times[-1] if self.times else 0
            self._unknown.append(unknown + (gap if gap > mark.rounds.unknown_after else 0))
            self.times.append(mark.timestamp)
            self.positions.append(mark.position)

    def known(self, begin: int, end: int) -> int:
        """Return the known seconds of an interval that ends at the last mark or before."""
        return end - begin - (self._unknown_before(end) - self._unknown_before(begin))

    def _unknown_before(self, time: int) -> int:
        """Return the unknown seconds before a time, counted from the first mark.

        Negative before the first mark, where all seconds are unknown.
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
        self._down = array("q")  # only for transitions that a mark follows
        self._removal: tuple[int, int] | None = None  # time and position of the handover

    def removed(self, size: int) -> int:
        """Return when a handover removed the node, by the first `size` entries; else never."""
        if self._removal is None or self._removal[1] >= size:
            return MAX_INTEGER
        return self._removal[0]

    def extend(self, transitions: History[Transition], marks: _Marks) -> None:
        for transition in transitions[len(self.times) :]:
            if transition.status is None:  # the last one, and it never gets a sum
                self._removal = transition.timestamp, transition.position
                break
            self.times.append(transition.timestamp)
            self.positions.append(transition.position)
            self._is_down.append(transition.status is Status.DOWN)
        covered = bisect_right(self.times, marks.times[-1]) if marks.times else 0
        for at in range(len(self._down), covered):
            self._down.append(self._before(at, self.times[at], marks) if at else 0)

    def down_before(self, time: int, count: int, marks: _Marks) -> int:
        """Return the known seconds down before a time, according to `count` transitions.

        The time lies between the first transition and the last mark.
        """
        return self._before(min(bisect_right(self.times, time), count), time, marks)

    def _before(self, count: int, time: int, marks: _Marks) -> int:
        last = count - 1
        running = marks.known(self.times[last], time) if self._is_down[last] else 0
        return self._down[last] + running
