"""What applied events say about one stream.

It is bounded, however long the stream runs: the last valid window, the proofs of its successor that
were found invalid, and each expert's newest endorsements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dragon.protocol.claims.endorsement import ExpertRecord
from dragon.protocol.claims.window import WindowClaim


@dataclass(frozen=True, slots=True)
class StreamState:
    last: WindowClaim | None = None  # the last valid one
    position: int = -1  # of its event in the log
    refuted: frozenset[tuple[int, bytes]] = frozenset()  # numbers and proofs found invalid since
    endorsed: Mapping[str, ExpertRecord] = field(default_factory=dict)  # by expert

    @property
    def windows(self) -> int:
        """The number of valid windows, which is the number of the next one."""
        return self.last.number + 1 if self.last else 0

    def by(self, expert: str) -> ExpertRecord:
        return self.endorsed.get(expert, ExpertRecord())
