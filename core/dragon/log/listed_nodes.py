"""Which nodes the committees of a log have listed, and when.

An id that has gone never comes back, so a node is listed during one interval. It begins when the
first committee that lists the node takes its seat. It ends with the handover that removes the node,
or with the node's last event if that is later: until then the log says whether the node was up.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from dragon.encoding import MAX_INTEGER
from dragon.protocol.committee import Committee
from dragon.protocol.state import State


@dataclass(slots=True)
class _Listing:
    """When a node was listed, in Unix seconds, and the handovers by their positions in the log."""

    since: int
    added_at: int  # -1 in epoch 0
    until: int = MAX_INTEGER
    removed_at: int = MAX_INTEGER

    def covers(self, size: int, begin: int, end: int) -> bool:
        """Whether the node was listed in [begin, end) by the first `size` entries of the log."""
        until = self.until if self.removed_at < size else MAX_INTEGER
        return self.added_at < size and max(begin, self.since) < min(end, until)


class ListedNodes:
    """The nodes that the committees of one log have listed. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the following
        self._listings: dict[str, _Listing] = {}
        self._newest: Committee | None = None

    def extend(self, committees: Iterable[Committee], state: State) -> None:
        """Add committees that have taken their seats, oldest first.

        Committees that were added before are skipped.

        Args:
            state: a state of the log after all of these handovers.
        """
        with self._lock:
            for committee in committees:
                if self._newest is None or committee.epoch > self._newest.epoch:
                    self._seat(committee, state)

    def during(self, size: int, interval: tuple[int, int]) -> list[str]:
        """Return the ids of all nodes that were listed for at least a second, in ascending order.

        Args:
            size: only the first `size` entries of the log count.
            interval: [begin, end) in Unix seconds.
        """
        with self._lock:
            found = [
                node_id for node_id, each in self._listings.items() if each.covers(size, *interval)
            ]
        return sorted(found)

    def _seat(self, committee: Committee, state: State) -> None:
        mark = state.handovers[committee.epoch - 1] if committee.epoch else None
        since, position = committee.rounds.genesis, -1
        if mark is not None:
            since, position = mark.timestamp, mark.position
        before = self._newest.urls.keys() if self._newest else set()
        for node_id in before - committee.urls.keys():
            last = state.last(node_id)
            listing = self._listings[node_id]
            listing.until = max(since, last.timestamp) if last else since
            listing.removed_at = position
        for node_id in committee.urls.keys() - before:
            self._listings[node_id] = _Listing(since, position)
        self._newest = committee
