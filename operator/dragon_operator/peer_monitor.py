"""Monitors the other operators, once a round.

Their answers tell an operator whether it is cut off (`blind`) or its clock is wrong (`clock`).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

import structlog

from dragon.net.runtime import Runtime
from dragon.probing import clock_skew
from dragon.probing.prober import Prober, ProbeResult
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, byzantine_faults
from dragon.protocol.state import State

logger = structlog.stdlib.get_logger(__name__)

WARM_UP_ROUNDS: Final = 6  # own uptime before a node of unknown status may be reported down
FRESH_ROUNDS: Final = 3  # how long a probe of a peer counts as evidence about our clock


class PeerMonitor:
    """The latest probe of every other operator."""

    def __init__(
        self,
        committee: Committee,
        myself: str,
        prober: Prober,
        runtime: Runtime,
    ) -> None:
        self.ids = tuple(key for key in committee.keys if key != myself)
        self._committee = committee
        self._prober = prober
        self._wall = runtime.wall
        self._monotonic = runtime.monotonic
        self._started = runtime.monotonic()
        self._probe_results: Mapping[str, ProbeResult] = {}
        self.counters = (prober.counter,)  # for Prometheus
        self._unchanged_since: dict[str, float] = {}  # by peer, monotonic seconds

    @property
    def probe_results(self) -> Mapping[str, ProbeResult]:
        return self._probe_results

    @property
    def has_warmed_up(self) -> bool:
        """Whether we have been up long enough to report a node of unknown status down."""
        uptime = self._monotonic() - self._started
        return uptime >= WARM_UP_ROUNDS * self._committee.rounds.seconds

    def probe(self) -> None:
        """Probe every peer. Takes at most one probe deadline."""
        before, probe_results = self._probe_results, self._prober.probe(self.ids)
        for peer, result in probe_results.items():
            if peer not in before or before[peer].status is not result.status:
                self._unchanged_since[peer] = result.begun
        self._probe_results = probe_results

    def contradiction(self, state: State, rounds: int) -> tuple[str, Status] | None:
        """A peer whose probes contradicted `state` for over `rounds`, and its probed status."""
        since = self._monotonic() - rounds * self._committee.rounds.seconds
        for peer, result in self._probe_results.items():
            known = state.status(peer)
            if known not in (None, result.status) and self._unchanged_since[peer] < since:
                return peer, result.status
        return None

    def offsets_ms(self) -> list[int]:
        """Least certain offset of each recently probed peer's clock from ours, in milliseconds."""
        oldest = self._monotonic() - FRESH_ROUNDS * self._committee.rounds.seconds
        seen = [result for result in self._probe_results.values() if result.begun >= oldest]
        return [offset for result in seen if (offset := result.certain_offset_ms) is not None]

    def clock_is_wrong(self) -> bool:
        return clock_skew.is_wrong(
            self.offsets_ms(), byzantine_faults(len(self._committee.operators))
        )

    def is_blind(
        self, probe_results: Mapping[str, ProbeResult], subject: str | None = None
    ) -> bool:
        """True if fewer operators than the quorum are visible (the subject excluded)."""
        answered = [
            peer
            for peer in self.ids
            if peer != subject and peer in probe_results and probe_results[peer].answered
        ]
        return 1 + len(answered) < self._committee.quorum("status")

    def run(self, stop: threading.Event) -> None:
        """Probe once a round, in its middle; the aggregators probe at its start."""
        rounds = self._committee.rounds
        while not stop.is_set():
            self.probe()
            offset = clock_skew.median_ms(self.offsets_ms())
            if offset is not None and abs(offset) > clock_skew.WARN_MS:
                logger.warning("clock_offset", offset_ms=offset)
            now = self._wall()
            following = rounds.start(rounds.number(now - rounds.seconds / 2) + 1)
            stop.wait(max(0.05, following + rounds.seconds / 2 - now))
