"""How many looks in a row have found a target up, or down.

The committee file says how many are needed (`suspect_after`, `recover_after`). One look a round
counts, so that many requests for probes make no difference.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from dragon.probing.lookup_faults import says_nothing
from dragon.probing.probe_result import ProbeResult
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee


@dataclass(frozen=True, slots=True)
class Streak:
    """Looks in a row with the same status, at most one of each round."""

    status: Status
    looks: int
    number: int  # round of the newest look that counts


def needed(committee: Committee, node_id: str, status: Status) -> int:
    """Return how many looks in a row have to find the node so, before its change is claimed."""
    target = committee.targets_by_id.get(node_id)
    if target is None:
        return 1
    return target.suspect_after if status is Status.DOWN else target.recover_after


class Streaks:
    """The streaks of all targets. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the next line
        self._streaks: dict[str, Streak] = {}

    def add(self, committee: Committee, result: ProbeResult) -> None:
        """Count a look. One that says nothing about the node is left out."""
        if result.node_id not in committee.targets_by_id:
            return
        if not result.is_evidence or says_nothing(committee, result):
            return
        number = committee.rounds.number(result.begun_at)
        with self._lock:
            last = self._streaks.get(result.node_id)
            if last is None or last.status is not result.status:
                self._streaks[result.node_id] = Streak(result.status, 1, number)
            elif last.number != number:
                self._streaks[result.node_id] = Streak(result.status, last.looks + 1, number)

    def looks(self, node_id: str, status: Status) -> int:
        """Return how many looks in a row, up to the newest one, have found the node so."""
        with self._lock:
            streak = self._streaks.get(node_id)
        return streak.looks if streak is not None and streak.status is status else 0

    def supports(self, committee: Committee, node_id: str, status: Status) -> bool:
        """Whether there were enough looks for a claim. The caller has compared the newest one."""
        least = needed(committee, node_id, status)
        return least == 1 or self.looks(node_id, status) >= least

    def forget(self, node_id: str) -> None:
        """Start again: the committee file has changed what is looked at."""
        with self._lock:
            self._streaks.pop(node_id, None)
