"""Sums over marks and transitions, from which the totals of any interval follow quickly.

Anyone may ask for totals of any interval, so the cost must not grow with the log: a query takes a
few binary searches. All times are Unix seconds.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from dragon.encoding import MAX_INTEGER
from dragon.protocol.claims.maintenance import Announced
from dragon.protocol.claims.status import Status
from dragon.protocol.state import History, Mark, State, Transition

# Returns how many seconds of an interval [begin, end) count. It ends at the last mark or before.
Count: TypeAlias = Callable[[int, int], int]


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
        self._nodes: dict[str, _Node] = {}

    def extend(self, state: State) -> None:
        """Add what a later state of the same log has. This may take long for the first state."""
        with self._lock:
            self._marks.extend(state.marks)
            for node_id, transitions in state.nodes.items():
                if (node := self._nodes.get(node_id)) is None:
                    node = self._nodes[node_id] = _Node(self._marks)
                announced = state.announced(node_id)
                # There may be thousands of nodes, and most batches concern few of them.
                if not node.is_final(transitions, announced):
                    node.extend(transitions, announced)

    def totals(self, size: int, node_id: str, interval: tuple[int, int]) -> Totals:
        """Return the totals of an interval according to the first `size` entries of the log."""
        begin, end = interval
        with self._lock:
            marks = self._marks
            node = self._nodes.get(node_id, _Node(marks))
            transitions = node.transitions
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
            down = node.down.between(first, last, moves)
            # Windows that were announced later begin after the last of these marks.
            maintenance = node.maintenance.between(first, last, moves)
        return Totals(down, end - begin - known, maintenance)


class _Node:
    """The transitions and announced maintenance of one node, and the sums over both."""

    def __init__(self, marks: _Marks) -> None:
        self._marks = marks
        self._spans = _Spans(marks)
        self.transitions = _Transitions()
        self.down = _SumsWhileDown(self.transitions, marks.known)
        self.maintenance = _SumsWhileDown(self.transitions, self._spans.known)
        # What was added, if no further mark changes the sums over it.
        self._final: tuple[History[Transition], Announced] | None = None

    def is_final(self, transitions: History[Transition], announced: Announced) -> bool:
        """Whether these very values were added, and no further mark changes the sums over them."""
        final = self._final
        return final is not None and final[0] is transitions and final[1] is announced

    def extend(self, transitions: History[Transition], announced: Announced) -> None:
        self.transitions.extend(transitions)
        self._final = None
        if marks := self._marks.times:
            self._spans.extend(announced)
            covered = bisect_right(self.transitions.times, marks[-1])
            self.down.extend(covered)
            self.maintenance.extend(covered)
            has_ended = all(window.end <= marks[-1] for window in announced.latest)
            if covered == len(self.transitions.times) and has_ended:
                self._final = transitions, announced


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


class _Spans:
    """Announced maintenance of one node before the last mark, as disjoint spans in order.

    Every window begins after the last mark before its announcement. So what the spans cover never
    changes, and further marks only add to the end.
    """

    def __init__(self, marks: _Marks) -> None:
        self._marks = marks
        self._begins = array("q")
        self._ends = array("q")
        self._known = array("q")  # known seconds of the spans before each span
        self._ended = 0  # windows of `Announced.ended` that are in the spans

    def extend(self, announced: Announced) -> None:
        last = self._marks.times[-1]
        windows = [*announced.ended[self._ended :], *announced.latest]
        for window in sorted(windows, key=attrgetter("begin")):
            if window.begin < last:
                self._add(window.begin, min(window.end, last))
        self._ended = len(announced.ended)

    def _add(self, begin: int, end: int) -> None:
        if self._ends and begin <= self._ends[-1]:
            self._ends[-1] = max(self._ends[-1], end)
            return
        self._known.append(self._known_before(begin))
        self._begins.append(begin)
        self._ends.append(end)

    def known(self, begin: int, end: int) -> int:
        """Return the known seconds of an interval that lie in announced maintenance."""
        return self._known_before(end) - self._known_before(begin)

    def _known_before(self, time: int) -> int:
        at = bisect_right(self._begins, time) - 1
        if at < 0:
            return 0
        return self._known[at] + self._marks.known(self._begins[at], min(time, self._ends[at]))


class _Transitions:
    """The transitions of one node."""

    def __init__(self) -> None:
        self.times = array("q")
        self.positions = array("q")
        self.is_down = bytearray()
        self._removal: tuple[int, int] | None = None  # time and position of the handover

    def removed(self, size: int) -> int:
        """Return when a handover removed the node, by the first `size` entries; else never."""
        if self._removal is None or self._removal[1] >= size:
            return MAX_INTEGER
        return self._removal[0]

    def extend(self, transitions: History[Transition]) -> None:
        for transition in transitions[len(self.times) :]:
            if transition.status is None:  # the last one, and it never gets a sum
                self._removal = transition.timestamp, transition.position
                break
            self.times.append(transition.timestamp)
            self.positions.append(transition.position)
            self.is_down.append(transition.status is Status.DOWN)


class _SumsWhileDown:
    """Counted seconds while a node was down, before each of its transitions."""

    def __init__(self, transitions: _Transitions, count: Count) -> None:
        self._transitions = transitions
        self._count = count
        self._sums = array("q")  # only for transitions that a mark follows

    def extend(self, covered: int) -> None:
        """Add the sums up to the first `covered` transitions."""
        for at in range(len(self._sums), covered):
            self._sums.append(self._before(self._transitions.times[at], at) if at else 0)

    def between(self, begin: int, end: int, moves: int) -> int:
        """Return the counted seconds of an interval, according to the first `moves` transitions.

        The interval lies between the first transition and the last mark.
        """
        times = self._transitions.times
        ended = self._before(end, min(bisect_right(times, end), moves))
        return ended - self._before(begin, min(bisect_right(times, begin), moves))

    def _before(self, time: int, moves: int) -> int:
        last = moves - 1
        is_down = self._transitions.is_down[last]
        return self._sums[last] + (
            self._count(self._transitions.times[last], time) if is_down else 0
        )
