"""What a verifier computes from opened rows: the DEEP polynomial and the folds of FRI.

Sections 8.1 and 9. The results have the order of the opened rows. Functions that read the proof
return the offset behind what they read, or `REFUSED`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dragon.stark.field import P, R
from dragon.stark.prover.kernels import lanes
from dragon.stark.prover.kernels.blake2s import DIGEST_WORDS
from dragon.stark.prover.kernels.jit import Bytes, Indices, Number, Words, inline, kernel
from dragon.stark.prover.kernels.polynomials import invert, multiply
from dragon.stark.prover.kernels.query_openings import (
    REFUSED,
    hash_leaf,
    read_numbers,
    read_root,
    write_number,
)

GEOMETRY: Final = 12  # numbers that describe the point of a group
_ZERO: Final = np.uint64(0)
_ONE: Final = np.uint64(R)
_OFFSET: Final = np.uint64(3 * R % P)  # of the evaluation domain
_ELEMENT_BYTES: Final = 24


@inline
def _point(roots: Words, index: int, log_width: int) -> Number:
    """ω^rev(index) for the subgroup whose size is 2^log_width times that of the indices.

    Bit j of the index contributes the root of unity of order 2^(j + 1 + log_width); `roots` has
    that of order 2^k at place k.
    """
    result, place = _ONE, 1 + log_width
    while index > 0:
        if index & 1:
            result = lanes.product(result, roots[place])
        index >>= 1
        place += 1
    return result


@inline
def _invert_all(values: Words) -> bool:
    """Replace each number by its inverse; return False if one is zero."""
    prefixes = np.empty(values.size, np.uint64)
    total = _ONE
    for k in range(values.size):
        prefixes[k] = total
        total = lanes.product(total, values[k])
    if lanes.canonical(total) == _ZERO:
        return False
    total = invert(total)
    for k in range(values.size - 1, -1, -1):
        inverse = lanes.product(total, prefixes[k])
        total = lanes.product(total, values[k])
        values[k] = inverse
    return True


@kernel(
    "boolean(int64[::1], uint64[::1], int64, int64, uint64[::1], int64, int64[::1], uint64[::1], "
    "uint64[::1], uint64[::1], uint64[::1])"
)
def deep_at(
    rows: Indices, trace: Words, width: int, air_columns: int, composition: Words, parts: int,
    spans: Indices, weights: Words, geometry: Words, roots: Words, values: Words,
) -> bool:  # fmt: skip
    """Fill `values` with d(x) at each opened row; return False if an x is the point of a claim.

    A group of claims at one point u has a span of the opened numbers (first, count), a weight in K
    for each of them, and twelve numbers in `geometry`: the constant Σ δ·value; the coefficients
    `product` and `total` of the cofactor; e1, e2, e3 of the norm (see `dragon.stark.reciprocals`).
    """
    groups, count = spans.size // 2, rows.size
    points, norms = np.empty(count, np.uint64), np.empty(count * groups, np.uint64)
    for i in range(count):
        points[i] = lanes.canonical(lanes.product(_point(roots, rows[i], 0), _OFFSET))
        for g in range(groups):
            at = GEOMETRY * g
            inner = lanes.product(lanes.difference(geometry[at + 9], points[i]), points[i])
            inner = lanes.product(lanes.difference(geometry[at + 10], inner), points[i])
            norms[i * groups + g] = lanes.difference(geometry[at + 11], inner)
    if not _invert_all(norms):
        return False
    for i in range(count):
        blinding = trace[i * width + air_columns : (i + 1) * width]
        d0 = blinding[0] if blinding.size > 0 else _ZERO
        d1 = blinding[1] if blinding.size > 1 else _ZERO
        d2 = blinding[2] if blinding.size > 2 else _ZERO
        weight = 0
        for g in range(groups):
            at = GEOMETRY * g
            n0, n1, n2 = _ZERO, _ZERO, _ZERO
            for k in range(spans[2 * g], spans[2 * g] + spans[2 * g + 1]):
                if k < width:
                    number = trace[i * width + k]
                else:
                    number = composition[i * parts + k - width]
                n0 = lanes.sum_of(n0, lanes.product(number, weights[weight]))
                n1 = lanes.sum_of(n1, lanes.product(number, weights[weight + 1]))
                n2 = lanes.sum_of(n2, lanes.product(number, weights[weight + 2]))
                weight += 3
            n0 = lanes.difference(geometry[at], n0)
            n1 = lanes.difference(geometry[at + 1], n1)
            n2 = lanes.difference(geometry[at + 2], n2)
            x = points[i]
            f0 = lanes.difference(geometry[at + 3], lanes.product(geometry[at + 6], x))
            f0 = lanes.sum_of(f0, lanes.square(x))
            f1 = lanes.difference(geometry[at + 4], lanes.product(geometry[at + 7], x))
            f2 = lanes.difference(geometry[at + 5], lanes.product(geometry[at + 8], x))
            n0, n1, n2 = multiply(n0, n1, n2, f0, f1, f2)
            inverse = norms[i * groups + g]
            d0 = lanes.sum_of(d0, lanes.product(n0, inverse))
            d1 = lanes.sum_of(d1, lanes.product(n1, inverse))
            d2 = lanes.sum_of(d2, lanes.product(n2, inverse))
        values[3 * i] = lanes.canonical(d0)
        values[3 * i + 1] = lanes.canonical(d1)
        values[3 * i + 2] = lanes.canonical(d2)
    return True


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
        inverse = _point(inverse_roots, rows[i], step)
        z0, z1, z2 = challenge[0], challenge[1], challenge[2]
        size = width
        while size > 1:
            for j in range(size // 2):
                a0, a1, a2 = work[6 * j], work[6 * j + 1], work[6 * j + 2]
                b0, b1, b2 = work[6 * j + 3], work[6 * j + 4], work[6 * j + 5]
                factor = lanes.product(inverse, _point(inverse_roots, 2 * j, 0))
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
    # (1) The unknown cells of all rows come first.
    width, k = 1 << step, 0
    for i in range(rows.size):
        for column in range(width):
            place = 3 * (width * i + column)
            if k < indices.size and indices[k] == rows[i] * width + column:
                for c in range(3):
                    cells[place + c] = known[3 * k + c]
                k += 1
            else:
                at = read_numbers(proof, at, 3, cells, place)
                if at == REFUSED:
                    return REFUSED
    # (2) Then the other rows of each leaf, as bytes.
    row_bytes = _ELEMENT_BYTES * width
    size = row_bytes * per_leaf
    message = np.empty(64 * (1 + size // 64), np.uint8)
    state = np.empty(DIGEST_WORDS, np.uint32)
    leaves = np.empty(rows.size, np.int64)
    digests = np.empty(4 * DIGEST_WORDS * rows.size, np.uint8)
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
                    return REFUSED
                for b in range(row_bytes):
                    message[row_bytes * j + b] = proof[at + b]
                at += row_bytes
        leaves[count] = leaf
        hash_leaf(message, size, state, digests, count)
        count += 1
    # (3) Then the siblings.
    return read_root(proof, at, leaves, digests, count, n_rows // per_leaf, root)


@kernel("boolean(int64[::1], uint64[::1], uint64[::1], uint64[::1])")
def is_on_last_layer(indices: Indices, values: Words, coefficients: Words, roots: Words) -> bool:
    """Whether every value lies on the polynomial with these coefficients (section 9)."""
    degree_bound = coefficients.size // 3
    for i in range(indices.size):
        x = _point(roots, indices[i], 0)
        for c in range(3):
            total = _ZERO
            for k in range(degree_bound - 1, -1, -1):
                total = lanes.sum_of(lanes.product(total, x), coefficients[3 * k + c])
            if lanes.canonical(total) != values[3 * i + c]:
                return False
    return True
