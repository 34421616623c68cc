"""What a verifier computes: interpolants, and the DEEP polynomial at opened rows (section 8.1)."""

from __future__ import annotations

from typing import Final

import numpy as np

from dragon.stark.field import P, R
from dragon.stark.prover.kernels import lanes
from dragon.stark.prover.kernels.jit import Indices, Number, Words, inline, kernel
from dragon.stark.prover.kernels.polynomials import invert, multiply

GEOMETRY: Final = 12  # numbers that describe the point of a group
_ZERO: Final = np.uint64(0)
_ONE: Final = np.uint64(R)
_OFFSET: Final = np.uint64(3 * R % P)  # of the evaluation domain


@inline
def point_of(roots: Words, index: int, log_width: int) -> Number:
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
        points[i] = lanes.canonical(lanes.product(point_of(roots, rows[i], 0), _OFFSET))
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
                in_trace = k < width
                number = trace[i * width + k] if in_trace else composition[i * parts + k - width]
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


@kernel("boolean(uint64[::1], int64, uint64[::1], uint64, uint64, uint64[::1])")
def interpolants(
    columns: Words, size: int, geometry: Words, generator: Number, inverse_size: Number,
    values: Words,
) -> bool:  # fmt: skip
    """Fill `values` with the value at u of the interpolant of each column, three numbers each.

    Entry b of a column of `size` entries belongs to generator^b. `geometry` holds, for u, the
    coefficients `product`, `total` and `norm` of `dragon.stark.reciprocals`, and then u^size - 1.
    Returns False if u lies in the subgroup. See `dragon.stark.interpolation`.
    """
    points, inverses = np.empty(size, np.uint64), np.empty(size, np.uint64)
    x = _ONE
    for b in range(size):
        points[b] = x
        inner = lanes.product(lanes.difference(geometry[6], x), x)
        inner = lanes.product(lanes.difference(geometry[7], inner), x)
        inverses[b] = lanes.difference(geometry[8], inner)
        x = lanes.product(x, generator)
    if not _invert_all(inverses):
        return False
    v0 = lanes.product(geometry[9], inverse_size)
    v1 = lanes.product(geometry[10], inverse_size)
    v2 = lanes.product(geometry[11], inverse_size)
    for column in range(columns.size // size):
        s0, s1, s2 = _ZERO, _ZERO, _ZERO
        for b in range(size):
            term = lanes.product(inverses[b], points[b])
            term = lanes.product(term, columns[column * size + b])
            s0 = lanes.sum_of(s0, term)
            term = lanes.product(term, points[b])
            s1 = lanes.sum_of(s1, term)
            s2 = lanes.sum_of(s2, lanes.product(term, points[b]))
        c0 = lanes.difference(lanes.product(geometry[0], s0), lanes.product(geometry[3], s1))
        c1 = lanes.difference(lanes.product(geometry[1], s0), lanes.product(geometry[4], s1))
        c2 = lanes.difference(lanes.product(geometry[2], s0), lanes.product(geometry[5], s1))
        c0, c1, c2 = multiply(v0, v1, v2, lanes.sum_of(c0, s2), c1, c2)
        values[3 * column] = lanes.canonical(c0)
        values[3 * column + 1] = lanes.canonical(c1)
        values[3 * column + 2] = lanes.canonical(c2)
    return True
