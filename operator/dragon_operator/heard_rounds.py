"""Whether aggregators still ask this operator for signatures.

In every interval between two checkpoints, each aggregator requests at least one. An operator that
hears none for longer is disconnected from them, or no aggregator works.
"""

from __future__ import annotations

from typing import Final

from dragon.node.certification import LastRound
from dragon.protocol.claims.base import Claim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.refusal import RefusalReason

# Refusals of claims that no aggregator makes. Anyone can send such claims, so they prove nothing.
_STRANGE: Final = (
    RefusalReason.MALFORMED,
    RefusalReason.OFF_ROUND,
    RefusalReason.UNKNOWN_NODE,
    RefusalReason.SUBJECT,
    RefusalReason.NO_CHANGE,
)


class HeardRounds(LastRound):
    """The last round in which an aggregator has requested a signature."""

    def note_claim(self, claim: Claim, refusal: str = "") -> None:
        """Note a requested claim. `refusal`: why it was refused; empty if it was signed."""
        if isinstance(claim, StatusClaim | CheckpointClaim) and refusal not in _STRANGE:
            self.note()
