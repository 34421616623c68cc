"""The DEEP polynomial (section 8.1) on the first coset of the domain, which determines it."""

from __future__ import annotations

from typing import Final

import numpy as np

from dragon.stark.extension import PHI_2P, PHI_P
from dragon.stark.field import P, R
from dragon.stark.prover.kernels import lanes
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Indices, Number, Words, inline, kernel
from dragon.stark.prover.kernels.polynomials import CHUNK, invert_vectors, multiply, points

GEOMETRY: Final = 12  # numbers that describe a group
TERM: Final = 5  # integers that describe a term
_TERMS: Final = 32  # at most, in one dot product
_ZERO: Final = np.uint64(0)
_F0, _F1, _F2 = (np.uint64(c * R % P) for c in PHI_P)
_G0, _G1, _G2 = (np.uint64(c * R % P) for c in PHI_2P)


@inline
def conjugate(c0: Number, c1: Number, c2: Number) -> tuple[Number, Number, Number]:
    """z^p (section 1.3)."""
    a0 = lanes.sum_of(lanes.product(c1, _F0), lanes.product(c2, _G0))
    a1 = lanes.sum_of(lanes.product(c1, _F1), lanes.product(c2, _G1))
    a2 = lanes.sum_of(lanes.product(c1, _F2), lanes.product(c2, _G2))
    return lanes.sum_of(c0, a0), a1, a2


@inline
def _negative(x: Number) -> Number:
    return lanes.canonical(lanes.difference(_ZERO, x))


@kernel(
    "void(int64[::1], uint64[::1], uint64[::1], int64[::1], uint64[::1], uint64[::1], uint64[::1])"
)
def deep_terms(
    terms: Indices, deltas: Words, values: Words, spans: Indices,
    group_points: Words, table: Words, geometry: Words,
) -> None:  # fmt: skip
    """Fill `table` and `geometry` for `deep`, from the coefficients δ and the values sent.

    Term i of `terms` belongs to δ_i. It consists of five integers: its group; its place in the
    group's span; its number of columns there (one over F, or three coordinates over K); the index
    of its value in `values`; and 1 if the value is conjugated, else 0. `group_points` holds the
    point ζ of each group.
    """
    groups = spans.size // 2
    for k in range(table.size):
        table[k] = _ZERO
    for k in range(geometry.size):
        geometry[k] = _ZERO
    # (1) Cofactor and norm of x - ζ, which depend on the point only.
    for group in range(groups):
        at = GEOMETRY * group
        z0, z1, z2 = (
            group_points[3 * group],
            group_points[3 * group + 1],
            group_points[3 * group + 2],
        )
        y0, y1, y2 = conjugate(z0, z1, z2)
        x0, x1, x2 = conjugate(y0, y1, y2)
        p0, p1, p2 = multiply(x0, x1, x2, y0, y1, y2)
        s0, s1, s2 = lanes.sum_of(x0, y0), lanes.sum_of(x1, y1), lanes.sum_of(x2, y2)
        geometry[at + 3], geometry[at + 4], geometry[at + 5] = p0, p1, p2
        geometry[at + 6], geometry[at + 7] = _negative(s0), _negative(s1)
        geometry[at + 8] = _negative(s2)
        norm, _, _ = multiply(p0, p1, p2, z0, z1, z2)
        second, _, _ = multiply(s0, s1, s2, z0, z1, z2)
        geometry[at + 9] = _negative(norm)
        geometry[at + 10] = lanes.sum_of(second, p0)
        geometry[at + 11] = _negative(lanes.sum_of(s0, z0))
    # (2) The coefficients, and the constant -Σ δ·value.
    for i in range(terms.size // TERM):
        group, place, width = terms[TERM * i], terms[TERM * i + 1], terms[TERM * i + 2]
        at = 0
        for k in range(group):
            at += 3 * spans[2 * k + 1]
        count = spans[2 * group + 1]
        d0, d1, d2 = deltas[3 * i], deltas[3 * i + 1], deltas[3 * i + 2]
        v = 3 * terms[TERM * i + 3]
        v0, v1, v2 = values[v], values[v + 1], values[v + 2]
        if terms[TERM * i + 4] == 1:
            v0, v1, v2 = conjugate(v0, v1, v2)
        v0, v1, v2 = multiply(v0, v1, v2, d0, d1, d2)
        at_constant = GEOMETRY * group
        geometry[at_constant] = lanes.difference(geometry[at_constant], v0)
        geometry[at_constant + 1] = lanes.difference(geometry[at_constant + 1], v1)
        geometry[at_constant + 2] = lanes.difference(geometry[at_constant + 2], v2)
        for k in range(width):
            table[at + place + k] = lanes.canonical(d0)
            table[at + count + place + k] = lanes.canonical(d1)
            table[at + 2 * count + place + k] = lanes.canonical(d2)
            # times φ: φ³ = 1 - 2φ
            d0, d1, d2 = d2, lanes.difference(d0, lanes.sum_of(d2, d2)), d1


@inline
def _functional(columns: Words, begin: int, table: Words, at: int, count: int) -> Number:
    """Σ columns[begin + j]·table[at + j] for j < count, for any count."""
    total = lanes.splat(np.uint64(0))
    for start in range(0, count, _TERMS):
        terms = min(_TERMS, count - start)
        part = lanes.dot(columns, LANES * (begin + start), LANES, table, at + start, terms)
        total = lanes.sum_of(total, part)
    return total


@kernel(
    "void(uint64[::1], int64, uint64[::1], int64, int64, int64, uint64[::1], int64[::1], "
    "uint64[::1], uint64[::1], uint64, uint64[::1], int64, int64)"
)
def deep(
    trace: Words, width: int, composition: Words, parts: int, rows: int, blinding: int,
    table: Words, spans: Indices, geometry: Words, roots: Words, offset: Number, result: Words,
    first: int, last: int,
) -> None:  # fmt: skip
    """Compute d (section 8.1) in rows 8·first … 8·last - 1 of tables with `rows` rows.

    Terms are grouped by their point ζ. The columns are `width` trace columns, then `parts`
    composition columns; group k uses spans[2k + 1] columns from spans[2k] on. Its part of `table`
    holds the three coordinates of the factors in Σ δ·v(x). Its 12 numbers in `geometry` are the
    coordinates of -Σ δ·value, of ζ'·ζ'' and of -(ζ' + ζ'') for the conjugates ζ', ζ'' of ζ, and c0,
    c1, c2 of the norm (x - ζ)(x - ζ')(x - ζ'') = x³ + c2·x² + c1·x + c0. The last `blinding` trace
    columns are the coordinates of the mask.
    """
    groups = spans.size // 2
    length = result.size // 3
    columns = np.empty(LANES * (width + parts), np.uint64)
    norms = np.empty(LANES * groups * CHUNK, np.uint64)
    prefixes = np.empty(LANES * groups * CHUNK, np.uint64)
    zero = lanes.splat(np.uint64(0))
    for start in range(first, last, CHUNK):
        # (1) The norms of x - ζ, inverted.
        count = min(CHUNK, last - start)
        for k in range(count):
            x = lanes.product(points(roots, LANES * (start + k)), offset)
            for group in range(groups):
                at = 12 * group
                norm = lanes.sum_of(x, lanes.splat(geometry[at + 11]))
                norm = lanes.sum_of(lanes.product(norm, x), lanes.splat(geometry[at + 10]))
                norm = lanes.sum_of(lanes.product(norm, x), lanes.splat(geometry[at + 9]))
                lanes.store(norms, LANES * (k * groups + group), norm)
        invert_vectors(norms, prefixes, groups * count)
        for k in range(count):
            row = LANES * (start + k)
            x = lanes.product(points(roots, row), offset)
            square = lanes.square(x)
            for j in range(width):
                lanes.store(columns, LANES * j, lanes.load(trace, j * rows + row))
            for j in range(parts):
                cell = lanes.load(composition, j * rows + row)
                lanes.store(columns, LANES * (width + j), cell)
            d0, d1, d2 = zero, zero, zero
            term = 0
            for group in range(groups):
                # (2) Σ δ·(v(x) - value), times the cofactor, over the norm.
                at, begin, terms = 12 * group, spans[2 * group], spans[2 * group + 1]
                s0 = _functional(columns, begin, table, term, terms)
                s1 = _functional(columns, begin, table, term + terms, terms)
                s2 = _functional(columns, begin, table, term + 2 * terms, terms)
                term += 3 * terms
                s0 = lanes.sum_of(s0, lanes.splat(geometry[at]))
                s1 = lanes.sum_of(s1, lanes.splat(geometry[at + 1]))
                s2 = lanes.sum_of(s2, lanes.splat(geometry[at + 2]))
                c0 = lanes.sum_of(lanes.product(x, geometry[at + 6]), lanes.splat(geometry[at + 3]))
                c1 = lanes.sum_of(lanes.product(x, geometry[at + 7]), lanes.splat(geometry[at + 4]))
                c2 = lanes.sum_of(lanes.product(x, geometry[at + 8]), lanes.splat(geometry[at + 5]))
                s0, s1, s2 = multiply(s0, s1, s2, lanes.sum_of(c0, square), c1, c2)
                reciprocal = lanes.load(norms, LANES * (k * groups + group))
                d0 = lanes.sum_of(d0, lanes.product(s0, reciprocal))
                d1 = lanes.sum_of(d1, lanes.product(s1, reciprocal))
                d2 = lanes.sum_of(d2, lanes.product(s2, reciprocal))
            # (3) The blinding columns are the coordinates of the mask.
            at = LANES * (width - blinding)
            if blinding > 0:
                d0 = lanes.sum_of(d0, lanes.load(columns, at))
            if blinding > 1:
                d1 = lanes.sum_of(d1, lanes.load(columns, at + LANES))
                d2 = lanes.sum_of(d2, lanes.load(columns, at + 2 * LANES))
            lanes.store(result, row, lanes.canonical(d0))
            lanes.store(result, length + row, lanes.canonical(d1))
            lanes.store(result, 2 * length + row, lanes.canonical(d2))
