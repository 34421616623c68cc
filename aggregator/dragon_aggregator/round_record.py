"""What happened in one round, for `GET /rounds`."""

from __future__ import annotations

from dataclasses import dataclass, field

from dragon.probing.probe_result import ProbeResult
from dragon_aggregator.certifier import AttestationRound
from dragon_aggregator.received_suspicions import ReceivedSuspicions


@dataclass(slots=True)
class Round:
    """The record of one round. Its lists grow while the round runs."""

    number: int
    start: int  # Unix seconds
    begun_at: float  # Unix seconds
    took: float | None = None  # seconds; None while it runs
    overran: bool = False
    skipped: int = 0  # rounds left out before this one because an earlier one overran
    abstained: bool = False  # whether nothing at all was proposed
    note: str = ""  # why the aggregator abstained, from all nodes or from some
    probe_results: list[ProbeResult] = field(default_factory=list)
    attestation_rounds: list[AttestationRound] = field(default_factory=list)
    suspicions: ReceivedSuspicions = field(default_factory=ReceivedSuspicions)
