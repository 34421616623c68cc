"""Whether the aggregator's clock is right, according to the operators.

An aggregator whose clock is wrong would ask for signatures on rounds of another time.
"""

from __future__ import annotations

from collections.abc import Iterable

from dragon.probing import clock_skew
from dragon.probing.probe_result import ProbeResult
from dragon.protocol.committee import Seated, byzantine_faults


class ClockCheck:
    """Compares the clock with the operators' after each round of probes."""

    def __init__(self, seated: Seated) -> None:
        self._seated = seated
        self.is_confirmed = False  # once since the start
        self._is_wrong = False

    @property
    def _faults(self) -> int:
        return byzantine_faults(len(self._seated.committee.operators))

    def update(self, results: Iterable[ProbeResult]) -> None:
        """Note the offsets of the operators that answered."""
        offsets = [ms for result in results if (ms := result.certain_offset_ms) is not None]
        self._is_wrong = clock_skew.is_wrong(offsets, self._faults)
        self.is_confirmed |= clock_skew.is_confirmed(offsets, self._faults)

    @property
    def fault(self) -> str:
        """What is wrong with the clock, so that nothing may be proposed; empty if it is right."""
        if self._is_wrong:
            return "more than 2 s off according to the operators"
        return "" if self.is_confirmed else "not confirmed by the operators yet"
