"""Monitors the other operators, once a round.

Their answers tell an operator whether it is cut off (`blind`) and whether its clock is right
(`clock`). After the start, it probes them more often until they have confirmed the clock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Final

import structlog

from dragon.net.runtime import Runtime
from dragon.probing import clock_skew
from dragon.probing.probe_result import ProbeResult
from dragon.probing.prober import RESULT_TTL_SECONDS, Prober
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, Seated, byzantine_faults
from dragon.protocol.state import State

logger = structlog.stdlib.get_logger(__name__)

WARM_UP_ROUNDS: Final = 6  # own uptime before a node of unknown status may be reported down
FRESH_ROUNDS: Final = 3  # how long a probe of a peer counts as evidence that our clock is wrong
# How long a peer's answer confirms our clock. A computer's clock without any peers drifts by less
# than 0.4 s in that time (100 ppm). If somebody sets it, the confirmation ends at once.
CONFIRMATION_SECONDS: Final = 3600
MAX_CONFIRMING_LATENCY_MS: Final = 2000  # a slower answer says too little about the clock
CHECK_SECONDS: Final = 1.0  # between two checks whether the clock was set
FIRST_RETRY_SECONDS: Final = 0.25  # doubled after each probe that does not confirm the clock
MAX_RETRY_SECONDS: Final = 2.0


class PeerMonitor:
    """The latest probe of every other operator."""

    def __init__(
        self,
        seated: Seated,
        myself: str,
        prober: Prober,
        runtime: Runtime,
    ) -> None:
        self._myself = myself
        self._seated = seated
        self._prober = prober
        self._wall = runtime.wall
        self._monotonic = runtime.monotonic
        self._started = runtime.monotonic()
        self._probe_results: Mapping[str, ProbeResult] = {}
        self.counters = prober.counters  # for Prometheus
        self._unchanged_since: dict[str, float] = {}  # by peer, monotonic seconds
        # The last answer of each peer that confirmed our clock. A peer cannot withdraw it: if our
        # clock was not set since, a different answer means that the peer's clock has changed.
        self._confirming: Mapping[str, ProbeResult] = {}

    @property
    def _committee(self) -> Committee:
        """The committee that holds now."""
        return self._seated.committee

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the other operators."""
        return tuple(each for each in self._committee.keys if each != self._myself)

    @property
    def _own(self) -> int:
        """1 if we are an operator of the committee ourselves, and seen by ourselves."""
        return int(self._myself in self._committee.keys)

    @property
    def _faults(self) -> int:
        return byzantine_faults(len(self._committee.operators))

    @property
    def probe_results(self) -> Mapping[str, ProbeResult]:
        return self._probe_results

    def latest(self, node_id: str) -> ProbeResult | None:
        """Return the latest probe of any node: of a peer as of this round.

        None if the node was not probed since the start.
        """
        return self._probe_results.get(node_id) or self._prober.latest(node_id)

    @property
    def has_warmed_up(self) -> bool:
        """Whether we have been up long enough to report a node of unknown status down."""
        uptime = self._monotonic() - self._started
        return uptime >= WARM_UP_ROUNDS * self._committee.rounds.seconds

    def probe(self, max_age: float = RESULT_TTL_SECONDS) -> None:
        """Probe every peer. Takes at most one probe deadline; `max_age` as in `Prober.probe`."""
        before, probe_results = self._probe_results, self._prober.probe(self.ids, max_age)
        for peer, result in probe_results.items():
            if peer not in before or before[peer].status is not result.status:
                self._unchanged_since[peer] = result.begun
        self._probe_results = probe_results
        confirming = {} if self.clock_is_wrong() else self._confirming
        known = {**confirming, **_confirming(probe_results)}
        self._confirming = {peer: known[peer] for peer in self.ids if peer in known}

    def contradictions(self, state: State, rounds: int) -> dict[str, Status]:
        """Peers whose probes have contradicted `state` for over `rounds`, with the probed status.

        A contradiction begins with the first such probe, or with the status in `state` if that is
        newer.
        """
        seconds = rounds * self._committee.rounds.seconds
        since, changed_before = self._monotonic() - seconds, self._wall() - seconds
        return {
            peer: result.status
            for peer, result in self._probe_results.items()
            if (known := state.last(peer)) is not None
            and known.status is not result.status
            and known.timestamp < changed_before
            and self._unchanged_since[peer] < since
        }

    def offsets_ms(self) -> list[int]:
        """Least certain offset of each recently probed peer's clock from ours, in milliseconds."""
        fresh = FRESH_ROUNDS * self._committee.rounds.seconds
        return self._offsets_ms(self._probe_results.values(), fresh)

    def _offsets_ms(self, probe_results: Iterable[ProbeResult], max_age: float) -> list[int]:
        """Offsets from our present clock, of peers that were probed at most `max_age` s ago.

        The monotonic clock shows by how much our clock was set since then, or by how long the
        machine was suspended.
        """
        now, ahead = self._monotonic(), self._wall() - self._monotonic()
        return [
            offset - round(1000 * (ahead - (result.begun_at - result.begun)))
            for result in probe_results
            if now - result.begun <= max_age and (offset := result.certain_offset_ms) is not None
        ]

    def clock_is_wrong(self) -> bool:
        """Whether enough peers have shown in the last rounds that our clock is over 2 s off."""
        return clock_skew.is_wrong(self.offsets_ms(), self._faults)

    def clock_is_confirmed(self) -> bool:
        """Whether f + 1 peers have answered since the start that our clock is right.

        An operator without peers has nobody to ask, and is the only one to be harmed.
        """
        max_age = max(CONFIRMATION_SECONDS, FRESH_ROUNDS * self._committee.rounds.seconds)
        offsets = self._offsets_ms(self._confirming.values(), max_age)
        return not self.ids or clock_skew.is_confirmed(offsets, self._faults)

    @property
    def confirmations_needed(self) -> int:
        """Number of peers that have to confirm the clock."""
        return min(len(self.ids), self._faults + 1)

    def quorum_margin(self) -> int | None:
        """How many more operators than the quorum were up in the latest probes, ours included.

        None if there was no probe since the start.
        """
        if self.ids and not self._probe_results:
            return None
        answered = sum(result.answered for result in self._probe_results.values())
        return self._own + answered - self._committee.quorum("status")

    def is_blind(
        self, probe_results: Mapping[str, ProbeResult], subject: str | None = None
    ) -> bool:
        """True if fewer operators than the quorum are visible (the subject excluded)."""
        answered = [
            peer
            for peer in self.ids
            if peer != subject and peer in probe_results and probe_results[peer].answered
        ]
        return self._own + len(answered) < self._committee.quorum("status")

    def run(self, stop: threading.Event) -> None:
        """Probe once a round, in its middle; the aggregators probe at its start.

        While the clock is not confirmed, or too few peers answer, probe more often.
        """
        retry = FIRST_RETRY_SECONDS
        while not stop.is_set():
            self.probe(min(RESULT_TTL_SECONDS, retry / 2))
            offset = clock_skew.median_ms(self.offsets_ms())
            if offset is not None and abs(offset) > clock_skew.WARN_MS:
                logger.warning("clock_offset", offset_ms=offset)
            retry = FIRST_RETRY_SECONDS if self._is_settled() else min(2 * retry, MAX_RETRY_SECONDS)
            self._wait(stop, retry)

    def _is_settled(self) -> bool:
        """Whether one probe a round is enough: a round may take an hour, and so may a refusal."""
        confirmed = self.clock_is_confirmed() and not self.clock_is_wrong()
        return confirmed and not self.is_blind(self._probe_results)

    def _wait(self, stop: threading.Event, retry: float) -> None:
        """Wait for the middle of the next round, or for `retry` s if a probe is needed earlier."""
        rounds, now = self._committee.rounds, self._wall()
        following = rounds.start(rounds.number(now - rounds.seconds / 2) + 1)
        end = self._monotonic() + max(0.05, following + rounds.seconds / 2 - now)
        while not stop.is_set() and (left := end - self._monotonic()) > 0:
            settled = self._is_settled()
            stop.wait(min(left, CHECK_SECONDS if settled else retry))
            if not settled:
                return


def _confirming(probe_results: Mapping[str, ProbeResult]) -> dict[str, ProbeResult]:
    """Return the answers that confirm our clock, and came fast enough to say so."""
    return {
        peer: result
        for peer, result in probe_results.items()
        if (offset := result.certain_offset_ms) is not None
        and abs(offset) <= clock_skew.ABSTAIN_MS
        and result.latency_ms <= MAX_CONFIRMING_LATENCY_MS
    }
