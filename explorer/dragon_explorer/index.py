"""An index of the log's status events: all outages in the order of the log, and days of nodes.

The cost of a page must not grow with the log. The index is extended by what a later state adds, and
a day of a node is computed once after it is settled.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from dragon.log.store import Log
from dragon.protocol.claims.status import Status
from dragon.protocol.state import State, Transition

DAY_SECONDS: Final = 86_400
UP, DOWN, UNKNOWN = "u", "d", "?"  # a day in a bar
MAINTENANCE: Final = "m"  # a day that was down in announced maintenance only
UNKNOWN_PART: Final = 10  # a day of which one such part is unknown does not count as up


@dataclass(frozen=True, slots=True)
class Outage:
    """A period in which a node was certified down. Times are Unix seconds."""

    node_id: str
    position: int  # of the `down` event in the log
    begun: int
    ended: int | None = None  # None: it lasts
    end_position: int | None = None  # of the event in the log that ended it: `up`, or a handover
    has_left: bool = False  # it ended because the next committee does not list the node


@dataclass(frozen=True, slots=True)
class Day:
    """The seconds of one UTC day in which a node was down or unknown; the others were up.

    Only the time from the node's first event until now counts.
    """

    begin: int  # Unix seconds
    seconds: int  # of the day that count; 0 before the node's first event
    down: int
    unknown: int
    maintenance: int = 0  # of the seconds down: those in announced maintenance
    pending: int = 0  # of the unknown seconds: those that the next checkpoint will certify

    @property
    def letter(self) -> str:
        """The day in a bar: down if it was down at all, unknown if a large part of it is."""
        if self.down:
            return MAINTENANCE if self.maintenance == self.down else DOWN
        is_unknown = UNKNOWN_PART * (self.unknown - self.pending) >= self.seconds
        return UNKNOWN if is_unknown or self.unknown >= self.seconds else UP


@dataclass(frozen=True, slots=True)
class _Bar:
    """The settled days of a node's bar."""

    today: int
    count: int
    letters: str


class LogIndex:
    """The index of one log. Any thread may use it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()  # guards everything below
        self._size = 0  # entries of the log that are indexed
        self._known: dict[str, int] = {}  # transitions of each node that are indexed
        self._outages: list[Outage] = []  # by position
        self._open: dict[str, int] = {}  # by node: index of its outage that lasts
        self._at: dict[int, int] = {}  # by position of a status event: index of its outage
        self._days: dict[tuple[str, int], Day] = {}  # settled days, by node and begin
        self._bars: dict[str, _Bar] = {}  # by node

    def update(self) -> None:
        """Add what the log has applied since the last call."""
        state = self._log.state
        if state.size == self._size:
            return
        with self._lock:
            if state.size < self._size:  # the log was read anew from its file
                self._reset()
            for node_id, transition in self._added(state):
                self._add(node_id, transition)
            self._size = state.size

    def _reset(self) -> None:
        self._known.clear()
        self._outages.clear()
        self._open.clear()
        self._at.clear()
        self._days.clear()
        self._bars.clear()

    def _added(self, state: State) -> list[tuple[str, Transition]]:
        added = []
        for node_id, transitions in state.nodes.items():
            known = self._known.get(node_id, 0)
            if len(transitions) > known:
                added += [(node_id, each) for each in transitions[known:]]
                self._known[node_id] = len(transitions)
        return sorted(added, key=lambda each: each[1].position)

    def _add(self, node_id: str, transition: Transition) -> None:
        at, position = transition.timestamp, transition.position
        if transition.status is Status.DOWN:
            self._open[node_id] = self._at[position] = len(self._outages)
            self._outages.append(Outage(node_id, position, at))
        elif (number := self._open.pop(node_id, None)) is not None:
            has_left = transition.status is None
            if not has_left:  # several nodes may leave with one handover
                self._at[position] = number
            self._outages[number] = replace(
                self._outages[number], ended=at, end_position=position, has_left=has_left
            )

    def outages(self, before: int, limit: int) -> Sequence[Outage]:
        """Return outages whose `down` event lies before a position, newest first."""
        self.update()
        with self._lock:
            last = bisect_left(self._outages, before, key=lambda each: each.position)
            return self._outages[max(0, last - limit) : last][::-1]

    def open_outages(self) -> Sequence[Outage]:
        """Return the outages that last, oldest first."""
        self.update()
        with self._lock:
            return [self._outages[number] for number in sorted(self._open.values())]

    def outage_at(self, position: int) -> Outage | None:
        """Return the outage that the status event at this position begins or ends."""
        self.update()
        with self._lock:
            number = self._at.get(position)
            return None if number is None else self._outages[number]

    def outages_of(self, node_id: str, limit: int) -> Sequence[Outage]:
        """Return the newest outages of a node, newest first."""
        self.update()
        transitions = self._log.state.nodes.get(node_id)
        if transitions is None:
            return []
        newest = transitions[-2 * limit - 1 :]
        found = [self.outage_at(each.position) for each in newest if each.status is Status.DOWN]
        return [each for each in found if each is not None][: -limit - 1 : -1]

    @property
    def count(self) -> int:
        """The number of outages in the log."""
        self.update()
        return len(self._outages)

    def days(self, node_id: str, now: int, count: int) -> list[Day]:
        """Return the last `count` UTC days of a node, oldest first, the last one until now."""
        today = now - now % DAY_SECONDS
        first = today - (count - 1) * DAY_SECONDS
        return [self._day(node_id, begin, now) for begin in range(first, today + 1, DAY_SECONDS)]

    def bar(self, node_id: str, now: int, count: int) -> str:
        """Return the letters of a node's last `count` UTC days, oldest first."""
        today = now - now % DAY_SECONDS
        known = self._bars.get(node_id)
        settled = known.letters if known and (known.today, known.count) == (today, count) else ""
        first = today - (count - 1 - len(settled)) * DAY_SECONDS
        rest = ""
        for begin in range(first, today + 1, DAY_SECONDS):
            letter = self._day(node_id, begin, now).letter
            if not rest and (node_id, begin) in self._days:
                settled += letter
            else:
                rest += letter
        with self._lock:
            self._bars[node_id] = _Bar(today, count, settled)
        return settled + rest

    def _day(self, node_id: str, begin: int, now: int) -> Day:
        key = (node_id, begin)
        if (known := self._days.get(key)) is not None:
            return known
        state = self._log.state
        transitions = state.nodes.get(node_id)
        first = max(begin, transitions[0].timestamp) if transitions else begin + DAY_SECONDS
        end = min(begin + DAY_SECONDS, now)
        day = Day(begin, 0, 0, 0)
        if first < end:
            totals = self._log.totals(state.size, node_id, (first, end))
            since = end - state.log_time  # the newest mark
            unknown_after = state.committee.rounds.unknown_after
            pending = since if end == now and since <= unknown_after else 0
            pending = min(max(0, pending), totals.seconds_unknown)
            day = Day(
                begin,
                end - first,
                totals.seconds_down,
                totals.seconds_unknown,
                totals.seconds_maintenance,
                pending,
            )
        ends = begin + DAY_SECONDS
        # With a clock that is behind, a settled day may be counted in part only.
        if state.settling(ends) is not None and now >= ends:
            with self._lock:
                self._days[key] = day
        return day

    def forget_days(self, before: int) -> None:
        """Forget settled days that begin before a time (Unix seconds)."""
        with self._lock:
            for key in [key for key in self._days if key[1] < before]:
                del self._days[key]
