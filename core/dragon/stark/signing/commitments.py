"""The prover's side of committed tables: Merkle trees and openings (section 7).

Each leaf is one row, with its salt if there are salts.
"""

from __future__ import annotations

from collections.abc import Sequence

from dragon.stark.hashchain import HashChain, blake2s_256
from dragon.stark.tables import SALT_BYTES


def draw_salts(zk_seed: bytes, count: int) -> list[bytes]:
    """The salts of a table, from chain `sa` (section 11)."""
    source, salts = HashChain(zk_seed), []
    source.mix(b"Salts")
    for row in range(count):
        chain = source.copy()
        chain.mix(row.to_bytes(8, "big"))
        salts.append(chain.draw(SALT_BYTES))
    return salts


class CommittedTable:
    """A table of encoded rows under a Merkle tree."""

    def __init__(self, rows: Sequence[bytes], salts: Sequence[bytes] = ()) -> None:
        """`salts`, one for each row, or none."""
        self._rows, self._salts = rows, salts
        salted = [row + salt for row, salt in zip(rows, salts, strict=True)] if salts else rows
        self._nodes = [b"", *[b""] * (len(rows) - 1), *map(blake2s_256, salted)]
        for node in range(len(rows) - 1, 0, -1):
            children = self._nodes[2 * node] + self._nodes[2 * node + 1]
            self._nodes[node] = blake2s_256(children)

    @property
    def root(self) -> bytes:
        return self._nodes[1]

    def opening(self, rows: Sequence[int]) -> bytes:
        """Rows, their salts, and the hashes that connect them with the root.

        `rows` is ascending and distinct.
        """
        shown = [self._rows[row] for row in rows]
        salts = [self._salts[row] for row in rows] if self._salts else []
        return b"".join([*shown, *salts, *self._siblings(rows)])

    def _siblings(self, rows: Sequence[int]) -> list[bytes]:
        """Level by level from the leaves, left to right (section 7.3)."""
        known, found = [len(self._rows) + row for row in rows], []
        while known[0] > 1:
            present = set(known)
            found += [self._nodes[node ^ 1] for node in known if node ^ 1 not in present]
            known = list(dict.fromkeys(node >> 1 for node in known))
        return found
