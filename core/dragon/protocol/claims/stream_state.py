"""The part of the log's state that concerns one stream.

Its size does not grow with the stream. It contains the last valid window, the invalid proofs of
the next window, and each expert's newest endorsements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dragon.protocol.claims.endorsement import ExpertRecord
from dragon.protocol.claims.window import WindowClaim


@dataclass(frozen=True, slots=True)
class StreamState:
    """The result of all applied events about one stream."""

    last: WindowClaim | None = None  # the last valid window
    position: int = -1  # of its event in the log; -1 if there is none
    refuted: frozenset[tuple[int, bytes]] = frozenset()  # (number, proof) found invalid since then
    endorsed: Mapping[str, ExpertRecord] = field(default_factory=dict)  # by expert

    @property
    def windows(self) -> int:
        """The number of valid windows, which is the number of the next one."""
        return self.last.number + 1 if self.last else 0

    def by(self, expert: str) -> ExpertRecord:
        """Return an expert's endorsements of the stream."""
        return self.endorsed.get(expert, ExpertRecord())
