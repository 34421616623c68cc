"""Where a chain of seals has come to: the numbers and hashes that the next records need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from dragon.protocol import merkle
from dragon.protocol.evidence.record import NO_RECORD, Record


@dataclass(frozen=True, slots=True)
class Leaf:
    """A record with number and predecessor, encoded and hashed once."""

    node_id: str
    encoded: bytes  # canonical JSON
    hash: bytes

    @classmethod
    def of(cls, record: Record) -> Self:
        encoded = record.encoded()
        return cls(record.node_id, encoded, merkle.leaf_hash(encoded))


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of seals, as far as it is stored."""

    id: bytes
    last_seal: bytes  # hash of the newest seal, of any chain
    # By node: the hash of its newest record, of any chain.
    last_records: Mapping[str, bytes] = field(default_factory=dict)
    sequences: Mapping[str, int] = field(default_factory=dict)  # by node: its records in this chain
    seals: int = 0  # in this chain

    def leaves(self, records: Sequence[Record]) -> list[Leaf]:
        """Return the records as the next seal has them, in their order."""
        previous, sequences = dict(self.last_records), dict(self.sequences)
        leaves = []
        for each in records:
            node_id = each.node_id
            sequence = sequences.get(node_id, 0)
            numbered = replace(each, sequence=sequence, previous=previous.get(node_id, NO_RECORD))
            leaf = Leaf.of(numbered)
            previous[node_id], sequences[node_id] = leaf.hash, sequence + 1
            leaves.append(leaf)
        return leaves

    def after(self, seal: bytes, leaves: Sequence[Leaf]) -> Self:
        """Return the chain after a seal with this hash, and its leaves, were stored."""
        previous, sequences = dict(self.last_records), dict(self.sequences)
        for leaf in leaves:
            previous[leaf.node_id] = leaf.hash
            sequences[leaf.node_id] = sequences.get(leaf.node_id, 0) + 1
        return replace(
            self,
            last_seal=seal,
            last_records=previous,
            sequences=sequences,
            seals=self.seals + 1,
        )
