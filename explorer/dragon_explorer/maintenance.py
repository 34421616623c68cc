"""Announced maintenance of nodes, from the certified log.

Maintenance changes no status: a node that is down in announced time is down. Pages, the feed and
alerts say that it was announced.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dragon.log.store import Log
from dragon.protocol.claims.maintenance import MAX_WINDOW_SECONDS, Announced
from dragon.protocol.state import State


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """One announced maintenance. Times are Unix seconds."""

    begin: int
    end: int  # exclusive
    position: int  # of the announcement in the log
    node_id: str
    announced: int  # timestamp of the announcement


class Maintenance:
    """The announced maintenance of one log. Any thread may use it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()  # guards everything below
        self._size = 0  # entries of the log that are indexed
        self._known: dict[str, Announced] = {}  # by node, as it was indexed
        self._windows: list[Window] = []  # by position
        self._by_begin: list[Window] = []
        self._of: dict[str, list[Window]] = {}  # by node, each by begin

    def update(self) -> None:
        """Add what the log has applied since the last call."""
        state = self._log.state
        if state.size == self._size:
            return
        with self._lock:
            if state.size < self._size:  # the log was read anew from its file
                for each in (self._known, self._windows, self._by_begin, self._of):
                    each.clear()
            for window in sorted(self._added(state), key=lambda each: each.position):
                self._windows.append(window)
                insort(self._by_begin, window)
                insort(self._of.setdefault(window.node_id, []), window)
            self._size = state.size

    def _added(self, state: State) -> Iterator[Window]:
        for node_id, announced in state.maintenance.items():
            known = self._known.get(node_id, Announced())
            if announced is known:
                continue
            for each in (*announced.ended[len(known.ended) :], *announced.latest):
                if each.position >= self._size:
                    yield Window(each.begin, each.end, each.position, node_id, each.timestamp)
            self._known[node_id] = announced

    @property
    def count(self) -> int:
        """The number of announcements in the log."""
        self.update()
        return len(self._windows)

    def newest(self, before: int, limit: int) -> Sequence[Window]:
        """Return the windows that were announced before a position of the log, newest first."""
        self.update()
        with self._lock:
            last = bisect_left(self._windows, before, key=lambda each: each.position)
            return self._windows[max(0, last - limit) : last][::-1]

    def not_ended(self, now: float, limit: int) -> Sequence[Window]:
        """Return windows that run or are to come, in the order of their begin."""
        self.update()
        with self._lock:
            listed = self._by_begin
            first = bisect_left(listed, now - MAX_WINDOW_SECONDS, key=lambda each: each.begin)
            found = []
            for each in listed[first:]:
                if each.end > now:
                    found.append(each)
                if len(found) == limit:
                    break
            return found

    def of(self, node_id: str) -> Sequence[Window]:
        """Return the windows of a node in the order of their begin."""
        self.update()
        with self._lock:
            return tuple(self._of.get(node_id, ()))

    def between(self, node_id: str, begin: float, end: float) -> Sequence[Window]:
        """Return the windows of a node that share a second with [begin, end), by their begin."""
        self.update()
        with self._lock:
            listed = self._of.get(node_id, [])
            first = bisect_left(listed, begin - MAX_WINDOW_SECONDS, key=lambda each: each.begin)
            last = bisect_left(listed, end, key=lambda each: each.begin)
            return [each for each in listed[first:last] if each.end > begin]

    def at(self, node_id: str, time: float) -> Window | None:
        """Return the window of a node that contains a time: of several, the one that ends last."""
        self.update()
        with self._lock:
            listed = self._of.get(node_id, [])
            last = bisect_right(listed, time, key=lambda each: each.begin)
            first = bisect_left(listed, time - MAX_WINDOW_SECONDS, key=lambda each: each.begin)
            found = [each for each in listed[first:last] if each.end > time]
        return max(found, key=lambda each: each.end, default=None)

    def seconds(self, node_id: str, begin: int, end: int) -> int:
        """Return how many seconds of [begin, end) were announced as maintenance."""
        total, counted = 0, begin
        for each in self.between(node_id, begin, end):
            until = min(each.end, end)
            total += max(0, until - max(each.begin, counted))
            counted = max(counted, until)
        return total
