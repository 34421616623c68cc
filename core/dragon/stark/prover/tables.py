"""Committed tables on the prover's side: their trees, and what opening them writes (section 7)."""

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

_MIN_GROUPS_PER_THREAD: Final = 8  # groups of leaves that are worth a thread
_WORD_BYTES: Final = 8
_ELEMENT_BYTES: Final = 24


class Tree:
    """The Merkle tree over leaves that a kernel writes."""

    def __init__(self, leaves: int) -> None:
        self.leaves = leaves
        pitches = [max(leaves >> level, MIN_PITCH) for level in range(leaves.bit_length())]
        self.nodes: Words32 = np.zeros(DIGEST_WORDS * sum(pitches), dtype=np.uint32)

    def grow(self, team: ThreadTeam) -> None:
        """Hash from the leaves to the root."""
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
        return self.nodes[-DIGEST_WORDS * MIN_PITCH :: MIN_PITCH].tobytes()

    def siblings(self, opened: Indices) -> bytes:
        """The hashes that lead from opened leaves, ascending and distinct, to the root (7.3)."""
        hashes = np.empty(DIGEST_WORDS * opened.size * self.leaves.bit_length(), dtype=np.uint32)
        count = commitments.open_leaves(self.nodes, self.leaves, opened, hashes)
        return hashes[: DIGEST_WORDS * count].tobytes()


class RowTable:
    """Columns of base elements. A row is a leaf with its salt; without salts, a package of rows."""

    def __init__(
        self, columns: Words, rows: int, salt_state: bytes | None, team: ThreadTeam
    ) -> None:
        """`salt_state` is the state of the chain `sa` (section 11)."""
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
        """Cells, salts or the rest of packages, hashes, for rows ascending and distinct (7.4)."""
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
    """A FRI layer: a row is `width` consecutive elements of K, a leaf is a package of rows."""

    def __init__(self, values: Words, width: int, team: ThreadTeam) -> None:
        """`values` are the coordinates of all elements, as three columns."""
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
        """For the rows of these elements: their other cells, the rest of packages, hashes (7.4)."""
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
    """All parts of these, if each has `width` parts."""
    return (indices[:, None] * width + np.arange(width)).reshape(-1)
