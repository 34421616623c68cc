"""Rounds: wall-clock time in numbered periods."""

from __future__ import annotations

from dataclasses import dataclass

from dragon.errors import OffRound


@dataclass(frozen=True, slots=True)
class Rounds:
    """Wall-clock time, numbered. Round r covers [genesis + r·seconds, genesis + (r+1)·seconds)."""

    genesis: int  # Unix seconds
    seconds: int

    def number(self, time: float) -> int:
        return int((time - self.genesis) // self.seconds)

    def start(self, number: int) -> int:
        return self.genesis + number * self.seconds

    def starts_at(self, timestamp: int) -> bool:
        """Whether a round begins exactly then."""
        return timestamp >= self.genesis and (timestamp - self.genesis) % self.seconds == 0

    def check_start(self, timestamp: int) -> None:
        """Raises OffRound: no round starts then."""
        if not self.starts_at(timestamp):
            raise OffRound(f"no round starts at {timestamp}", timestamp=timestamp)

    @property
    def probe_deadline(self) -> float:
        return self.seconds / 5

    @property
    def reprobe_pause(self) -> float:
        """300 ms at the usual five seconds. Two probes, this pause and the attesters' own probe
        have to fit into R/2 + R/5 if the detection guarantee is to hold for short rounds too."""
        return min(0.3, 0.06 * self.seconds)

    @property
    def attestation_deadline(self) -> float:
        return self.seconds / 2

    @property
    def max_age(self) -> int:
        """Seconds for which a certificate may wait for the ledger."""
        return max(12 * self.seconds, 60)

    @property
    def early(self) -> int:
        """Seconds by which the ledger's clock may lag behind a certificate."""
        return max(3 * self.seconds, 15)

    @property
    def checkpoint_every(self) -> int:
        """Seconds between two certified checkpoints."""
        return 12 * self.seconds

    @property
    def unknown_after(self) -> int:
        """Seconds of silence between two checkpoints for which nobody vouches any more."""
        return 24 * self.seconds

    @property
    def settled_after(self) -> int:
        """Seconds after which the log can no longer learn anything about a moment."""
        return self.unknown_after + self.max_age

    def in_signing_span(self, number: int, time: float) -> bool:
        """From 2 s before the round to half a round and 2 s after it."""
        start = self.start(number)
        return start - 2 <= time <= start + 1.5 * self.seconds + 2
