"""The layers of FRI as a verifier checks them: openings, folds and the last layer (section 9).

Functions that read the proof return the offset behind what they read, or `REFUSED`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dragon.stark.prover.kernels import lanes
from dragon.stark.prover.kernels.blake2s import DIGEST_WORDS
from dragon.stark.prover.kernels.jit import Bytes, Indices, Words, inline, kernel
from dragon.stark.prover.kernels.polynomials import multiply
from dragon.stark.prover.kernels.query_openings import (
    BLOCK_BYTES,
    REFUSED,
    hash_leaf,
    read_numbers,
    read_root,
    write_number,
)
from dragon.stark.prover.kernels.query_values import point_of

_ELEMENT_BYTES: Final = 24
_ZERO: Final = np.uint64(0)


@kernel("void(int64[::1], uint64[::1], int64, uint64[::1], uint64[::1], uint64[::1])")
def fold_rows(
    rows: Indices, cells: Words, step: int, challenge: Words, inverse_roots: Words, values: Words
) -> None:
    """Apply one step to complete rows of 2^step cells (section 9): three numbers for each row."""
    width = 1 << step
    work = np.empty(3 * width, np.uint64)
    for i in range(rows.size):
        for k in range(3 * width):
            work[k] = cells[3 * width * i + k]
        inverse = point_of(inverse_roots, rows[i], step)
        z0, z1, z2 = challenge[0], challenge[1], challenge[2]
        size = width
        while size > 1:
            for j in range(size // 2):
                a0, a1, a2 = work[6 * j], work[6 * j + 1], work[6 * j + 2]
                b0, b1, b2 = work[6 * j + 3], work[6 * j + 4], work[6 * j + 5]
                factor = lanes.product(inverse, point_of(inverse_roots, 2 * j, 0))
                o0 = lanes.product(lanes.difference(a0, b0), factor)
                o1 = lanes.product(lanes.difference(a1, b1), factor)
                o2 = lanes.product(lanes.difference(a2, b2), factor)
                o0, o1, o2 = multiply(z0, z1, z2, o0, o1, o2)
                work[3 * j] = lanes.sum_of(lanes.sum_of(a0, b0), o0)
                work[3 * j + 1] = lanes.sum_of(lanes.sum_of(a1, b1), o1)
                work[3 * j + 2] = lanes.sum_of(lanes.sum_of(a2, b2), o2)
            inverse = lanes.square(inverse)
            z0, z1, z2 = multiply(z0, z1, z2, z0, z1, z2)
            size >>= 1
        for k in range(3):
            values[3 * i + k] = lanes.canonical(work[k])


@inline
def _read_cells(
    proof: Bytes, at: int, indices: Indices, known: Words, rows: Indices, width: int, cells: Words
) -> int:
    """Complete rows with the cells that are not known, and return the offset behind them."""
    k = 0
    for i in range(rows.size):
        for column in range(width):
            place = 3 * (width * i + column)
            if k < indices.size and indices[k] == rows[i] * width + column:
                cells[place : place + 3] = known[3 * k : 3 * k + 3]
                k += 1
            else:
                at = read_numbers(proof, at, 3, cells, place)
                if at == REFUSED:
                    return REFUSED
    return at


@inline
def _hash_leaves(
    proof: Bytes, at: int, rows: Indices, cells: Words, width: int, per_leaf: int,
    leaves: Indices, digests: Bytes,
) -> tuple[int, int]:  # fmt: skip
    """Hash the leaves of the rows; return the offset behind what was read, and their number."""
    row_bytes = _ELEMENT_BYTES * width
    size = row_bytes * per_leaf
    message = np.empty(BLOCK_BYTES * (1 + size // BLOCK_BYTES), np.uint8)
    state = np.empty(DIGEST_WORDS, np.uint32)
    count, i = 0, 0
    while i < rows.size:
        leaf = rows[i] // per_leaf
        for j in range(per_leaf):
            if i < rows.size and rows[i] == leaf * per_leaf + j:
                for c in range(3 * width):
                    write_number(cells[3 * width * i + c], message, row_bytes * j + 8 * c)
                i += 1
            else:
                if at + row_bytes > proof.size:
                    return REFUSED, count
                message[row_bytes * j : row_bytes * (j + 1)] = proof[at : at + row_bytes]
                at += row_bytes
        leaves[count] = leaf
        hash_leaf(message, size, state, digests, count)
        count += 1
    return at, count


@kernel(
    "int64(uint8[::1], int64, int64[::1], uint64[::1], int64[::1], int64, int64, int64, "
    "uint8[::1], uint64[::1])"
)
def open_layer(
    proof: Bytes, at: int, indices: Indices, known: Words, rows: Indices, step: int, n_rows: int,
    per_leaf: int, root: Bytes, cells: Words,
) -> int:  # fmt: skip
    """Read the cells of a committed layer that are not known, and check its Merkle root.

    `known` holds the values at `indices`, ascending; `rows` their rows, each once. `cells` receives
    the complete rows.
    """
    # (1) The unknown cells of all rows come first, (2) then the other rows of each leaf, as bytes,
    # (3) then the siblings.
    at = _read_cells(proof, at, indices, known, rows, 1 << step, cells)
    if at == REFUSED:
        return REFUSED
    leaves = np.empty(rows.size, np.int64)
    digests = np.empty(4 * DIGEST_WORDS * rows.size, np.uint8)
    at, count = _hash_leaves(proof, at, rows, cells, 1 << step, per_leaf, leaves, digests)
    if at == REFUSED:
        return REFUSED
    return read_root(proof, at, leaves, digests, count, n_rows // per_leaf, root)


@kernel("boolean(int64[::1], uint64[::1], uint64[::1], uint64[::1])")
def is_on_last_layer(indices: Indices, values: Words, coefficients: Words, roots: Words) -> bool:
    """Whether every value lies on the polynomial with these coefficients (section 9)."""
    degree_bound = coefficients.size // 3
    for i in range(indices.size):
        x = point_of(roots, indices[i], 0)
        for c in range(3):
            total = _ZERO
            for k in range(degree_bound - 1, -1, -1):
                total = lanes.sum_of(lanes.product(total, x), coefficients[3 * k + c])
            if lanes.canonical(total) != values[3 * i + c]:
                return False
    return True
