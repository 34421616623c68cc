"""Committed tables for the prover: Merkle trees and openings (section 7)."""

from __future__ import annotations

from typing import Final

import numpy as np

from dragon.stark.prover.kernels import commitments
from dragon.stark.prover.kernels.blake2s import DIGEST_WORDS, MESSAGES
from dragon.stark.prover.kernels.chains import SALT_WORDS
from dragon.stark.prover.kernels.commitments import MIN_PITCH
from dragon.stark.prover.kernels.jit import Indices, Words, Words32
from dragon.stark.prover.montgomery import digest_words, wire
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.tables import package_rows

_MIN_GROUPS_PER_THREAD: Final = 8  # groups of 16 leaves: less work is not split
_WORD_BYTES: Final = 8
_ELEMENT_BYTES: Final = 24


class Tree:
    """A Merkle tree. A kernel writes its leaves into `nodes`."""

    def __init__(self, leaves: int) -> None:
        self.leaves = leaves
        pitches = [max(leaves >> level, MIN_PITCH) for level in range(leaves.bit_length())]
        self.nodes: Words32 = np.zeros(DIGEST_WORDS * sum(pitches), dtype=np.uint32)

    def grow(self, team: ThreadTeam) -> None:
        """Hash all levels, from the leaves to the root."""
        parts = 1 << (team.threads.bit_length() - 1)
        apart = max(0, self.leaves.bit_length() - 1 - (parts * MESSAGES).bit_length() + 1)
        if parts == 1 or apart < 2:
            commitments.hash_levels(self.nodes, self.leaves, 0, 1, 0)
            return

        def work(first: int, _last: int) -> None:
            commitments.hash_levels(self.nodes, self.leaves, first, parts, apart)

        team.share(work, parts)
        commitments.hash_levels(self.nodes, self.leaves, 0, 1, apart)

    @property
    def root(self) -> bytes:
        """The commitment. Call `grow` first."""
        return self.nodes[-DIGEST_WORDS * MIN_PITCH :: MIN_PITCH].tobytes()

    def siblings(self, opened: Indices) -> bytes:
        """The hashes that connect opened leaves with the root (section 7.3).

        `opened` is ascending and distinct.
        """
        hashes = np.empty(DIGEST_WORDS * opened.size * self.leaves.bit_length(), dtype=np.uint32)
        count = commitments.open_leaves(self.nodes, self.leaves, opened, hashes)
        return hashes[: DIGEST_WORDS * count].tobytes()


class RowTable:
    """A table of base elements, in columns.

    With salts, a leaf is a row and its salt. Without salts, a leaf is a package of rows.
    """

    def __init__(
        self, columns: Words, rows: int, salt_state: bytes | None, team: ThreadTeam
    ) -> None:
        """`salt_state` is the state of chain `sa` (section 11); None for a table without salts."""
        self.columns, self.rows = columns, rows
        self.width = columns.size // rows
        self._salts: Words32 = np.empty(0 if salt_state is None else SALT_WORDS * rows, np.uint32)
        salted = salt_state is not None
        self._package = 1 if salted else package_rows(_WORD_BYTES * self.width, rows)
        self._tree = Tree(rows // self._package)
        chain = digest_words(salt_state or bytes(32))

        def work(first: int, last: int) -> None:
            nodes = self._tree.nodes
            if self._package > 1:
                package = self._package
                commitments.hash_stretches(columns, rows, self.width, package, nodes, first, last)
            else:
                salts = self._salts
                commitments.hash_rows(columns, rows, self.width, chain, salts, nodes, first, last)

        team.share(work, -(-self._tree.leaves // MESSAGES), _MIN_GROUPS_PER_THREAD)
        self._tree.grow(team)
        self.root = self._tree.root

    def opening(self, rows: Indices) -> bytes:
        """The opening of rows, which are ascending and distinct (section 7.4).

        It holds their cells, their salts or the rest of their packages, and hashes.
        """
        salts = b""
        if self._salts.size:
            salts = self._salts.reshape(SALT_WORDS, self.rows)[:, rows].T.tobytes()
        if self._package == 1:
            return self._wire(rows) + salts + self._tree.siblings(rows)
        packages = np.unique(rows // self._package)
        completed = np.setdiff1d(spread(packages, self._package), rows)
        return self._wire(rows) + self._wire(completed) + self._tree.siblings(packages)

    def _wire(self, rows: Indices) -> bytes:
        return wire(self.columns.reshape(self.width, self.rows)[:, rows].T)


class LayerTable:
    """A FRI layer. A row is `width` consecutive elements of K; a leaf is a package of rows."""

    def __init__(self, values: Words, width: int, team: ThreadTeam) -> None:
        """`values` holds the coordinates of all elements, as three columns."""
        size = values.size // 3
        self.elements = values.reshape(3, size)
        self.width = width
        self._package = package_rows(_ELEMENT_BYTES * width, size // width)
        stretch = width * self._package
        self._tree = Tree(size // stretch)

        def work(first: int, last: int) -> None:
            commitments.hash_stretches(values, size, 3, stretch, self._tree.nodes, first, last)

        team.share(work, -(-self._tree.leaves // MESSAGES), _MIN_GROUPS_PER_THREAD)
        self._tree.grow(team)
        self.root = self._tree.root

    def opening(self, known: Indices) -> bytes:
        """The opening of the rows that contain the elements `known` (section 7.4).

        It holds the other cells of these rows, the rest of their packages, and hashes.
        """
        elements = np.unique(known)
        rows = np.unique(elements // self.width)
        cells = np.setdiff1d(spread(rows, self.width), elements)
        packages = np.unique(rows // self._package)
        completed = np.setdiff1d(spread(packages, self._package), rows)
        rest = spread(completed, self.width)
        return self._wire(cells) + self._wire(rest) + self._tree.siblings(packages)

    def _wire(self, elements: Indices) -> bytes:
        return wire(self.elements[:, elements].T)


def spread(indices: Indices, width: int) -> Indices:
    """The indices of all parts, if each index of `indices` stands for `width` parts."""
    return (indices[:, None] * width + np.arange(width)).reshape(-1)
