"""The ledger as a log sees it: batches that a sequencing network has proven final.

The core follows *some* source of proven batches; `dragon_sequencer` provides the one that talks to
Zellular. What crosses the border is declared here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader stands. StoredChunk durably with whatever was applied up to it.

    The default is genesis. A position inside a segment is legal: a reader may stop between two
    batches of one finality proof.
    """

    index: int = 0  # of the last batch taken
    chaining_hash: str = ""  # Zellular's hash chain at that batch, 32 hex digits, "" at genesis
    proof_index: int = 0  # of the last finality proof at or before `index`
    proof_time: int = 0  # that proof's time, Unix seconds; later proofs are never earlier


@dataclass(frozen=True, slots=True)
class ProvenBatch:
    """One batch whose finality proof and parent link have been verified."""

    index: int
    body: str
    time: int  # Unix seconds: the proven time of its segment, by the network's leader
    proof: str  # the finality proof as canonical JSON; the last batch of a segment is at its index
    position: Position  # where a reader stands that has taken this batch


class Ledger(Protocol):
    """A source of proven batches."""

    def poll(self, after: Position) -> Sequence[ProvenBatch]:
        """The next proven batches after a position, in order; none if there are none yet.

        One page at the most, so that memory is bounded. Does not wait for news.

        Raises:
            LedgerUnavailable: no gateway gave a usable answer; nothing was taken.
            LedgerContradiction: the network's history no longer contains `after`.
        """
        ...
