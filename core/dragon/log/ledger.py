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

    The default is genesis. A position may lie between two batches of one finality proof. It has no
    time: the network may prove different times for one batch.
    """

    index: int = 0  # of the last batch that was read
    chaining_hash: str = ""  # Zellular's hash chain at that batch: 32 hex digits; "" at genesis


@dataclass(frozen=True, slots=True)
class ProvenBatch:
    """A batch with a verified finality proof and a verified link to its parent."""

    index: int
    body: str
    time: int  # Unix seconds, as shown to this reader; for listings only, no rule uses it
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
