"""Where a chain of seals has come to: the numbers and hashes that the next records need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from dragon.protocol.evidence.record import Record
from dragon_operator.evidence_store import EvidenceStore


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of seals, as far as it is stored."""

    id: bytes
    last_seal: bytes  # hash of the newest seal, of whichever chain
    seals: int = 0  # of this chain
    # By node: the number of its records in this chain, and the hash of the newest.
    nodes: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)

    @classmethod
    def begun(cls, store: EvidenceStore, chain_id: bytes) -> Self:
        """Return a new chain, which continues what is stored. Raises LogDamaged, DiskError."""
        return cls(chain_id, store.last_seal())

    def numbered(
        self, records: Sequence[Record], last_record: Callable[[str], bytes]
    ) -> tuple[list[Record], dict[str, tuple[int, bytes]]]:
        """Return the records with number and predecessor, and what `nodes` is after them.

        Args:
            last_record: returns the hash of a node's newest record of earlier chains.
        """
        nodes, numbered = dict(self.nodes), []
        for each in records:
            if (known := nodes.get(each.node_id)) is None:
                known = (0, last_record(each.node_id))
            record = replace(each, sequence=known[0], previous=known[1])
            nodes[record.node_id] = (known[0] + 1, record.hash)
            numbered.append(record)
        return numbered, nodes

    def advanced(self, seal: bytes, nodes: Mapping[str, tuple[int, bytes]]) -> Self:
        """Return the chain after a seal with this hash was stored."""
        return replace(self, last_seal=seal, seals=self.seals + 1, nodes=nodes)
