"""Sums over marks and transitions, from which the totals of any interval follow quickly.

Anyone may ask for totals of any interval, so the cost must not grow with the log: a query takes a
few binary searches. All times are Unix seconds.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Final, TypeAlias

from dragon.encoding import MAX_INTEGER, Json
from dragon.log import columns
from dragon.log.columns import Column
from dragon.protocol.claims.maintenance import Announced
from dragon.protocol.claims.status import Status
from dragon.protocol.state import History, Mark, State, Transition

MARK_COLUMNS: Final = ("mark_times", "mark_positions", "mark_unknown")
# Returns a stored block of one of the `MARK_COLUMNS`, by its name and number.
ReadColumn: TypeAlias = Callable[[str, int], "array[int]"]
# Returns how many seconds of an interval [begin, end) count. It ends at the last mark or before.
Count: TypeAlias = Callable[[int, int], int]


def _nothing(name: str, number: int) -> array[int]:
    raise IndexError(name, number)


@dataclass(frozen=True, slots=True)
class Totals:
    """Seconds of an interval; those that are neither down nor unknown are certified up."""

    seconds_down: int
    seconds_unknown: int
    seconds_maintenance: int = 0  # those of `seconds_down` that lie in announced maintenance


class DowntimeIndex:
    """The sums of one log. Any thread may use it."""

    def __init__(self, read: ReadColumn = _nothing) -> None:
        """Args: read: returns a block of a column after `forget`."""
        self._lock = threading.Lock()  # guards the next two lines
        self._marks = _Marks(read)
        self._nodes: dict[str, _Node] = {}

    def new_blocks(self) -> Iterator[tuple[str, int, bytes]]:
        """Yield name, number and content of each full block of a column that is not stored yet.

        Only the thread that extends the index may call it, and `forget` and `to_json`.
        """
        for name, column in self._marks.columns.items():
            yield from ((name, number, content) for number, content in column.new_blocks())

    def forget(self) -> None:
        """Forget the full blocks of columns, which are stored from now on."""
        with self._lock:
            for column in self._marks.columns.values():
                column.forget()

    def to_json(self) -> dict[str, Json]:
        """Return all that is not in full blocks, and does not follow quickly from the state."""
        listed = self._marks.columns.items()
        tails: dict[str, Json] = {name: columns.to_text(each.tail()) for name, each in listed}
        nodes: dict[str, Json] = {node_id: node.to_json() for node_id, node in self._nodes.items()}
        return {"marks": tails, "nodes": nodes}

    @classmethod
    def restored(cls, value: Mapping[str, object], state: State, read: ReadColumn) -> DowntimeIndex:
        """Return the index that `to_json` described, of the log with this state.

        Raises ValueError, LookupError, TypeError: the description does not fit.
        """
        index, marks, nodes = cls(read), value["marks"], value["nodes"]
        if not (isinstance(marks, dict) and isinstance(nodes, dict)):
            raise TypeError("the description of sums must consist of objects")
        index._marks.restore(marks, len(state.marks), read)
        if nodes.keys() != state.nodes.keys():
            raise ValueError("the sums are not those of the nodes in the state")
        for node_id, sums in nodes.items():
            node = index._nodes[node_id] = _Node(index._marks)
            node.restore(sums, state.nodes[node_id], state.announced(node_id))
        return index

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

    def to_json(self) -> dict[str, Json]:
        """Return the sums."""
        return {
            "down": columns.to_text(self.down.sums),
            "maintenance": columns.to_text(self.maintenance.sums),
            "spans": self._spans.to_json(),
        }

    def restore(
        self, value: Mapping[str, object], transitions: History[Transition], announced: Announced
    ) -> None:
        """Take the sums from `to_json`. Raises ValueError, LookupError, TypeError."""
        self.transitions.extend(transitions)
        self.down.sums = columns.from_text(value["down"])
        self.maintenance.sums = columns.from_text(value["maintenance"])
        if len(self.down.sums) != len(self.maintenance.sums):
            raise ValueError("a node has sums for different numbers of transitions")
        self._spans.restore(value["spans"], len(announced.ended))

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

    def __init__(self, read: ReadColumn) -> None:
        self._use([Column(partial(read, name)) for name in MARK_COLUMNS])

    def _use(self, listed: list[Column]) -> None:
        self.columns = dict(zip(MARK_COLUMNS, listed, strict=True))
        # The last one: seconds from the first mark to this one.
        self.times, self.positions, self._unknown = listed

    def restore(self, tails: Mapping[str, object], count: int, read: ReadColumn) -> None:
        """Take the columns of `count` marks, of which the full blocks are read when needed.

        Raises ValueError, LookupError.
        """
        stored, rest = divmod(count, columns.BLOCK_INTEGERS)
        found = {name: columns.from_text(tails[name]) for name in MARK_COLUMNS}
        if any(len(tail) != rest for tail in found.values()):
            raise ValueError("the columns have not as many integers as there are marks")
        self._use([Column(partial(read, name), stored, tail) for name, tail in found.items()])

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
        unknown = self._unknown[at]
        is_gap = at + 1 < len(self._unknown) and self._unknown[at + 1] > unknown
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

    def to_json(self) -> Json:
        """Return begins, ends and known seconds, and how many windows have ended."""
        listed = (self._begins, self._ends, self._known)
        return [*map(columns.to_text, listed), self._ended]

    def restore(self, value: object, ended: int) -> None:
        """Take what `to_json` returned; `ended` windows at most. Raises ValueError, TypeError."""
        if not isinstance(value, list):
            raise TypeError("spans must be a list")
        *listed, self._ended = value
        self._begins, self._ends, self._known = map(columns.from_text, listed)
        if not len(self._begins) == len(self._ends) == len(self._known):
            raise ValueError("spans have different numbers of begins and ends")
        if type(self._ended) is not int or not 0 <= self._ended <= ended:
            raise ValueError("spans of more windows than have ended")

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
        self.sums = array("q")  # only for transitions that a mark follows

    def extend(self, covered: int) -> None:
        """Add the sums up to the first `covered` transitions."""
        for at in range(len(self.sums), covered):
            self.sums.append(self._before(self._transitions.times[at], at) if at else 0)

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
        return self.sums[last] + (
            self._count(self._transitions.times[last], time) if is_down else 0
        )
