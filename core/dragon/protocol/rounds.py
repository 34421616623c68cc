"""Rounds: fixed periods of wall-clock time, numbered from the committee's genesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dragon.errors import OffRound

SPAN_MARGIN_SECONDS: Final = 2  # by which the clocks of honest operators may differ


@dataclass(frozen=True, slots=True)
class Rounds:
    """The round length, and all time limits that follow from it.

    Round r is the interval [genesis + r·seconds, genesis + (r+1)·seconds).
    """

    genesis: int  # Unix seconds
    seconds: int

    def number(self, time: float) -> int:
        """Return the number of the round at a time (Unix seconds)."""
        return int((time - self.genesis) // self.seconds)

    def start(self, number: int) -> int:
        """Return the start of a round in Unix seconds."""
        return self.genesis + number * self.seconds

    def starts_at(self, timestamp: int) -> bool:
        """Return whether a round starts exactly at this time (Unix seconds)."""
        return timestamp >= self.genesis and (timestamp - self.genesis) % self.seconds == 0

    def check_start(self, timestamp: int) -> None:
        """Check that a round starts exactly at this time (Unix seconds). Raises OffRound."""
        if not self.starts_at(timestamp):
            raise OffRound(f"{timestamp} is not the start of a round", timestamp=timestamp)

    @property
    def probe_deadline_seconds(self) -> float:
        """Seconds within which a node has to answer a probe."""
        return self.seconds / 5

    @property
    def reprobe_pause_seconds(self) -> float:
        """Seconds between a failed probe and the second one: 0.3 in rounds of 5 s or longer.

        Two probes, this pause and the attesters' probe have to fit into 0.7 rounds. Otherwise the
        detection guarantee would not hold for short rounds.
        """
        return min(0.3, 0.06 * self.seconds)

    @property
    def collect_deadline_seconds(self) -> float:
        """Seconds within which an aggregator collects the attestations of one claim."""
        return self.seconds / 2

    @property
    def max_age(self) -> int:
        """Maximum seconds by which log time may be later than the timestamp of an event."""
        return max(12 * self.seconds, 60)

    @property
    def checkpoint_every(self) -> int:
        """Minimum seconds between two certified checkpoints."""
        return 12 * self.seconds

    @property
    def certification_late_after(self) -> int:
        """Maximum seconds without a checkpoint, or without a round, while all is well.

        A checkpoint is due every twelve rounds. The half on top is for the ledger, and for an
        aggregator of a higher rank, which sends later.
        """
        return self.checkpoint_every + self.certification_grace

    @property
    def certification_grace(self) -> int:
        """Seconds after a start or an outage within which the first checkpoint is certified."""
        return self.checkpoint_every // 2

    @property
    def unknown_after(self) -> int:
        """Maximum seconds between two checkpoints that certify the time between them.

        After a longer gap the whole gap counts as unknown.
        """
        return 24 * self.seconds

    @property
    def settled_after(self) -> int:
        """Seconds from a moment to the earliest checkpoint that settles it.

        Log time is then so late that no new event can concern that moment.
        """
        return self.max_age

    def in_signing_span(self, number: int, time: float) -> bool:
        """Return whether a claim about round `number` may be signed at this time (Unix seconds)."""
        begin, end = self.signing_span(number)
        return begin <= time <= end

    def signing_span(self, number: int) -> tuple[float, float]:
        """Return from when until when a claim about a round may be signed (Unix seconds).

        The span begins 2 s before the round and ends half a round and 2 s after the round.
        """
        start = self.start(number)
        return start - SPAN_MARGIN_SECONDS, start + self._signing_seconds

    @property
    def most_in_signing_span(self) -> int:
        """Maximum number of rounds that may be signed at the same time."""
        return int((SPAN_MARGIN_SECONDS + self._signing_seconds) // self.seconds) + 1

    @property
    def _signing_seconds(self) -> float:
        """Seconds from the start of a round to the end of its signing span."""
        return 1.5 * self.seconds + SPAN_MARGIN_SECONDS
