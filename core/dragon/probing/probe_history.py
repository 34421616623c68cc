"""What the probes of the last rounds found, in memory and in bounded space."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from dragon.probing.probe_result import ProbeResult
from dragon.protocol.committee import Seated
from dragon.protocol.rounds import Rounds

MAX_PROBED_ROUNDS: Final = 30  # rounds that are kept
MAX_PROBES_KEPT: Final = 8192  # results of all kept rounds together; beyond, the oldest are left


@dataclass(frozen=True, slots=True)
class ProbedRound:
    """One result for each node that was probed in a round."""

    number: int
    results: dict[str, ProbeResult] = field(default_factory=dict)


class ProbeHistory:
    """The probes of the last rounds by the local clock. Thread-safe.

    Of several probes of a node in one round, a failed one is kept; otherwise the newest.
    """

    def __init__(self, seated: Seated, wall: Callable[[], float]) -> None:
        self._seated = seated
        self._wall = wall
        self._lock = threading.Lock()  # guards the next two lines
        self._kept: dict[int, ProbedRound] = {}  # by number
        self._numbering = seated.committee.rounds  # of what is kept

    @property
    def _rounds(self) -> Rounds:
        return self._seated.committee.rounds

    def add(self, result: ProbeResult) -> None:
        """Record the result of a probe. Ignored: what was before the first round, or is too old."""
        rounds = self._rounds
        current, number = rounds.number(self._wall()), rounds.number(result.begun_at)
        with self._lock:
            if rounds != self._numbering:  # a handover has changed their length
                self._kept, self._numbering = {}, rounds
            # A clock that was set back leaves rounds of the future behind.
            for ahead in [each for each in self._kept if each > current]:
                del self._kept[ahead]
            if not max(-1, current - MAX_PROBED_ROUNDS) < number <= current:
                return
            results = self._kept.setdefault(number, ProbedRound(number)).results
            before = results.get(result.node_id)
            if before is None or before.answered or not result.answered:
                results[result.node_id] = result
            self._prune(current)

    def _prune(self, current: int) -> None:
        kept = 0
        for number in sorted(self._kept, reverse=True):
            kept += len(self._kept[number].results)
            if number <= current - MAX_PROBED_ROUNDS or kept > MAX_PROBES_KEPT:
                del self._kept[number]

    def before(self, number: int) -> list[ProbedRound]:
        """Return copies of the rounds before a number, newest first."""
        with self._lock:
            return [
                ProbedRound(each, dict(self._kept[each].results))
                for each in sorted(self._kept, reverse=True)
                if each < number
            ]
