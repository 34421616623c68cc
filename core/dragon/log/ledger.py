"""The ledger as the log sees it: batches that the sequencing network has proven final.

This module declares the interface of a ledger. `dragon_sequencer` implements it for Zellular.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Position:
    """The position of a reader in the ledger. The log stores it with the batches up to it.

    The default is genesis. A position may lie between two batches of one finality proof.
    """

    index: int = 0  # of the last batch that was read
    chaining_hash: str = ""  # Zellular's hash chain at that batch: 32 hex digits; "" at genesis
    proof_index: int = 0  # of the last finality proof at or before `index`
    proof_time: int = 0  # time of that proof, Unix seconds; never decreases along the ledger


@dataclass(frozen=True, slots=True)
class ProvenBatch:
    """A batch with a verified finality proof and a verified link to its parent."""

    index: int
    body: str
    time: int  # Unix seconds: proven time of its segment, set by the network's leader
    proof: str  # finality proof in canonical JSON; its index is that of its segment's last batch
    position: Position  # of a reader after this batch


class Ledger(Protocol):
    """A source of proven batches."""

    def poll(self, after: Position) -> Sequence[ProvenBatch]:
        """Return the next proven batches after a position, in order; empty if there are none.

        Returns one page at most, so that memory is bounded. Does not wait for new batches.

        Raises:
            LedgerUnavailable: no gateway returned a usable response; no batch was read.
            LedgerContradiction: the network's history no longer contains `after`.
        """
        ...
