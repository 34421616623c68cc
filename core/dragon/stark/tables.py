"""Openings of committed tables (section 7).

A table is committed by a Merkle tree over its rows. With salts, each leaf is one row and its salt.
Without salts, each leaf is a package of rows with at least 64 bytes. Rows are opened as a set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dragon.stark import extension as ext
from dragon.stark.channel import ProofReader
from dragon.stark.extension import Element
from dragon.stark.field import ceil_log2
from dragon.stark.hashchain import DIGEST_BYTES, blake2s_256

SALT_BYTES: Final = 16
PACKAGE_BYTES: Final = 64  # a leaf without a salt has at least this size


def package_rows(row_bytes: int, n_rows: int) -> int:
    """The number of rows per leaf in a table without salts (section 7.2)."""
    needed = -(-PACKAGE_BYTES // row_bytes)
    return min(1 << ceil_log2(needed), n_rows)


def read_root(reader: ProofReader, leaves: Sequence[tuple[int, bytes]], n_leaves: int) -> bytes:
    """The Merkle root over `leaves`, pairs (index, hash) in ascending order.

    The siblings are read from the proof, level by level from the leaves, left to right (section
    7.3).
    """
    nodes = [(n_leaves + index, digest) for index, digest in leaves]
    while nodes[0][0] > 1:
        parents, i = [], 0
        while i < len(nodes):
            node, digest = nodes[i]
            i += 1
            if node & 1:
                pair = reader.take(DIGEST_BYTES) + digest
            elif i < len(nodes) and nodes[i][0] == node + 1:
                pair = digest + nodes[i][1]
                i += 1
            else:
                pair = digest + reader.take(DIGEST_BYTES)
            parents.append((node >> 1, blake2s_256(pair)))
        nodes = parents
    return nodes[0][1]


def read_salted(
    reader: ProofReader, rows: Sequence[int], row_bytes: int, n_rows: int
) -> tuple[list[bytes], bytes]:
    """Read the opened rows of a table with salts. Returns the rows and the Merkle root.

    `rows` is ascending.
    """
    opened = [reader.take(row_bytes) for _ in rows]
    leaves = [
        (row, blake2s_256(raw + reader.take(SALT_BYTES)))
        for row, raw in zip(rows, opened, strict=True)
    ]
    return opened, read_root(reader, leaves, n_rows)


def read_packaged(
    reader: ProofReader, rows: Sequence[int], row_bytes: int, n_rows: int
) -> tuple[list[bytes], bytes]:
    """Read the opened rows of a table without salts. Returns the rows and the Merkle root.

    `rows` is ascending.
    """
    opened = [reader.take(row_bytes) for _ in rows]
    shown = dict(zip(rows, opened, strict=True))
    return opened, read_package_root(reader, shown, row_bytes, n_rows)


def read_package_root(
    reader: ProofReader, opened: Mapping[int, bytes], row_bytes: int, n_rows: int
) -> bytes:
    """The Merkle root of opened rows. `opened` maps row indices to bytes, in ascending order.

    The other rows of their packages and the siblings are read from the proof.
    """
    per_leaf = package_rows(row_bytes, n_rows)
    leaves = []
    for leaf in dict.fromkeys(row // per_leaf for row in opened):
        package = range(leaf * per_leaf, (leaf + 1) * per_leaf)
        rows = [opened[row] if row in opened else reader.take(row_bytes) for row in package]
        leaves.append((leaf, blake2s_256(b"".join(rows))))
    return read_root(reader, leaves, n_rows // per_leaf)


class LayerOpening:
    """Opened rows of a committed FRI layer, some cells of which the verifier computes itself.

    The constructor reads the unknown cells; `root` reads the rest of the opening.
    """

    def __init__(
        self, reader: ProofReader, known: Mapping[tuple[int, int], Element], width: int
    ) -> None:
        """`known` maps (row, column) to values. It contains every opened row at least once."""
        self._reader = reader
        self._row_bytes = width * ext.ELEMENT_BYTES
        self.rows: dict[int, list[Element]] = {}
        for row in sorted({row for row, _ in known}):
            unknown = [column for column in range(width) if (row, column) not in known]
            read = iter(ext.decode(reader.take(len(unknown) * ext.ELEMENT_BYTES)))
            self.rows[row] = [
                next(read) if column in unknown else known[row, column] for column in range(width)
            ]

    def root(self, n_rows: int) -> bytes:
        """The Merkle root of the rows, in a layer of `n_rows` rows."""
        encoded = {row: ext.encode(values) for row, values in self.rows.items()}
        return read_package_root(self._reader, encoded, self._row_bytes, n_rows)
