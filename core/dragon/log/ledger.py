"""The ledger as the log sees it: batches that the sequencing network has proven final.

This module declares the interface of a ledger. `dragon_sequencer` implements it for Zellular.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable


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
    """A batch that a verified finality proof covers."""

    index: int
    body: str
    time: int  # Unix seconds, as shown to this reader; for listings only, no rule uses it
    proof: str  # verified finality proof of this or a later batch, in canonical JSON
    position: Position  # of a reader after this batch


@dataclass(frozen=True, slots=True)
class FinalityRule:
    """Which finality proofs count, by the committee that holds at the position that is read.

    Those under the node lists that it names, and under those that no committee has named: their
    owner has given them to the service because the network has changed unannounced.
    """

    former: frozenset[bytes]  # SHA-256 of lists that only earlier committees have named
    threshold_percent: int  # of the stake that must sign


# Returns the newest kept position at or before an index, with its chaining hash, if there is one.
KeptPositions: TypeAlias = Callable[[int], Position | None]


class Ledger(Protocol):
    """A source of proven batches."""

    def poll(
        self,
        after: Position,
        kept: KeptPositions | None = None,
        rule: FinalityRule | None = None,
    ) -> Sequence[ProvenBatch]:
        """Return the next proven batches after a position, in order; empty if there are none.

        Returns one page at most, so that memory is bounded. Does not wait for new batches.

        Args:
            after: the last batch that was read.
            kept: earlier positions that the caller still knows. With them, a history that was
                replaced by a shorter one is recognized.
            rule: which proofs count; by default those under any node list that is at hand.

        Raises:
            LedgerUnavailable: no gateway returned a usable response; no batch was read.
            LedgerContradiction: the network's history no longer contains `after`, or a position
                that `kept` returned.
        """
        ...


@runtime_checkable
class ProvingLedger(Ledger, Protocol):
    """A ledger that knows under which node lists its newest proof holds."""

    def holds_under(self, node_lists: Collection[bytes], threshold_percent: int) -> bool:
        """Whether the newest proof that was read holds under one of these node lists.

        Args:
            node_lists: SHA-256 of each.
            threshold_percent: of the stake that must have signed.
        """
        ...


@runtime_checkable
class IndexedLedger(Ledger, Protocol):
    """A ledger that can say how long it is."""

    def last_finalized_index(self, known: int = 0) -> int:
        """Return the index of the newest batch, or 0. Raises LedgerUnavailable.

        Args: `known`, the index of a batch that was read. Only a later one needs to be proven.
        """
        ...
