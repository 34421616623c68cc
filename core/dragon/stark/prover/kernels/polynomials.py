"""Polynomials over F and K as columns of coefficients: powers, values, reciprocals, folds."""

from __future__ import annotations

from typing import Final

import numpy as np

from dragon.stark.field import P, R
from dragon.stark.prover.kernels import lanes
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Number, Words, inline, kernel

_INVERSION: Final = P - 2
_ONE: Final = np.uint64(R)
CHUNK: Final = 32  # vectors that share one inversion


@inline
def multiply(
    a0: Number, a1: Number, a2: Number, b0: Number, b1: Number, b2: Number
) -> tuple[Number, Number, Number]:
    """The product in K of folded numbers or lanes (section 1.3). The result is folded."""
    t3 = lanes.sum_of(lanes.product(a1, b2), lanes.product(a2, b1))
    t4 = lanes.product(a2, b2)
    c0 = lanes.sum_of(lanes.product(a0, b0), t3)
    c1 = lanes.sum_of(lanes.product(a0, b1), lanes.product(a1, b0))
    c1 = lanes.sum_of(lanes.difference(c1, lanes.sum_of(t3, t3)), t4)
    c2 = lanes.sum_of(lanes.product(a0, b2), lanes.product(a1, b1))
    c2 = lanes.sum_of(c2, lanes.product(a2, b0))
    return c0, c1, lanes.difference(c2, lanes.sum_of(t4, t4))


@kernel("void(uint64[::1], uint64, uint64)")
def powers(result: Words, start: Number, base: Number) -> None:
    """Fill `result` with start·base^i, canonical."""
    power = start
    for i in range(min(LANES, result.size)):
        result[i] = lanes.canonical(power)
        power = lanes.product(power, base)
    step = lanes.square(lanes.square(lanes.square(base)))
    for i in range(LANES, result.size, LANES):
        power8 = lanes.product(lanes.load(result, i - LANES), step)
        lanes.store(result, i, lanes.canonical(power8))


@kernel("void(uint64[::1], uint64)")
def scale(numbers: Words, factor: Number) -> None:
    """Multiply each number by `factor`, in place. The results are canonical.

    With R² it converts to Montgomery form, with 1 from it: `product` divides by R.
    """
    for i in range(numbers.size):
        numbers[i] = lanes.canonical(lanes.product(numbers[i], factor))


@kernel("void(uint64[::1], int64, uint64[::1], uint64[::1], int64, int64)")
def values_at(
    coefficients: Words, length: int, point: Words, values: Words, first: int, last: int
) -> None:
    """Evaluate columns first … last - 1 at a point of K: three numbers each.

    A column has `length` ≥ 8 coefficients.
    """
    width = last - first
    sums = np.zeros(3 * LANES * width, np.uint64)
    power = np.empty(3 * LANES, np.uint64)
    a0, a1, a2 = _ONE, np.uint64(0), np.uint64(0)
    for k in range(LANES):
        power[k], power[LANES + k], power[2 * LANES + k] = a0, a1, a2
        a0, a1, a2 = multiply(a0, a1, a2, point[0], point[1], point[2])
    z0, z1, z2 = lanes.load(power, 0), lanes.load(power, LANES), lanes.load(power, 2 * LANES)
    s0, s1, s2 = lanes.splat(a0), lanes.splat(a1), lanes.splat(a2)
    for i in range(0, length, LANES):
        for column in range(width):
            x = lanes.load(coefficients, (first + column) * length + i)
            at = 3 * LANES * column
            for c, z in ((0, z0), (1, z1), (2, z2)):
                total = lanes.sum_of(lanes.load(sums, at + LANES * c), lanes.product(z, x))
                lanes.store(sums, at + LANES * c, total)
        z0, z1, z2 = multiply(z0, z1, z2, s0, s1, s2)
    for k in range(3 * width):
        total = np.uint64(0)
        for lane in range(LANES):
            total = lanes.sum_of(total, sums[LANES * k + lane])
        values[3 * first + k] = lanes.canonical(total)


@inline
def points(roots: Words, row: int) -> Number:
    """ω^rev(r) for eight rows r (section 6). Multiply by 3 for the points of the coset."""
    w = lanes.load(roots, row >> 1)
    return lanes.zipped0(w, lanes.difference(lanes.splat(np.uint64(0)), w))


@inline
def invert(x: Number) -> Number:
    """x^(p - 2)."""
    result = x
    for bit in range(60, -1, -1):
        result = lanes.square(result)
        if (_INVERSION >> bit) & 1 == 1:
            result = lanes.product(result, x)
    return result


@inline
def invert_vectors(values: Words, prefixes: Words, count: int) -> None:
    """Invert `count` vectors of nonzero numbers in place. Each lane is a separate batch."""
    total = lanes.load(values, 0)
    for k in range(1, count):
        lanes.store(prefixes, LANES * k, total)
        total = lanes.product(total, lanes.load(values, LANES * k))
    total = invert(total)
    for k in range(count - 1, 0, -1):
        x = lanes.load(values, LANES * k)
        lanes.store(values, LANES * k, lanes.product(total, lanes.load(prefixes, LANES * k)))
        total = lanes.product(total, x)
    lanes.store(values, 0, total)


@kernel("void(uint64[::1], uint64[::1], uint64, uint64, int64, int64)")
def reciprocals(
    result: Words, roots: Words, offset: Number, pole: Number, first: int, last: int
) -> None:
    """1/(x_r - pole) with x_r = offset·ω^rev(r), for row vectors first … last - 1."""
    prefixes = np.empty(CHUNK * LANES, np.uint64)
    values = np.empty(CHUNK * LANES, np.uint64)
    for start in range(first, last, CHUNK):
        count = min(CHUNK, last - start)
        for k in range(count):
            x = lanes.product(points(roots, LANES * (start + k)), offset)
            lanes.store(values, LANES * k, lanes.difference(x, lanes.splat(pole)))
        invert_vectors(values, prefixes, count)
        for k in range(count):
            reciprocal = lanes.canonical(lanes.load(values, LANES * k))
            lanes.store(result, LANES * (start + k), reciprocal)


@kernel("void(uint64[::1], int64, uint64[::1], int64, uint64[::1])")
def fold(coefficients: Words, length: int, challenge: Words, steps: int, result: Words) -> None:
    """Fold coefficients `steps` times with ζ, ζ², ζ⁴, … (section 9).

    One fold is F'_j = 2·(F_2j + ζ·F_2j+1). Three columns of `length` numbers become three columns
    of length/2^steps numbers.
    """
    work = coefficients.copy()
    a0, a1, a2 = challenge[0], challenge[1], challenge[2]
    size = length
    for _ in range(steps):
        size //= 2
        for j in range(size):
            b0, b1, b2 = multiply(
                a0, a1, a2, work[2 * j + 1], work[length + 2 * j + 1], work[2 * length + 2 * j + 1]
            )
            b0 = lanes.sum_of(work[2 * j], b0)
            b1 = lanes.sum_of(work[length + 2 * j], b1)
            b2 = lanes.sum_of(work[2 * length + 2 * j], b2)
            work[j] = lanes.sum_of(b0, b0)
            work[length + j] = lanes.sum_of(b1, b1)
            work[2 * length + j] = lanes.sum_of(b2, b2)
        a0, a1, a2 = multiply(a0, a1, a2, a0, a1, a2)
    for c in range(3):
        for j in range(size):
            result[c * size + j] = lanes.canonical(work[c * length + j])


@kernel("void(uint64[::1], int64, int64, int64, uint64[::1], uint64[::1])")
def place(rows: Words, length: int, width: int, log_n: int, drawn: Words, trace: Words) -> None:
    """Build the trace in columns and bit-reversed order, with its random cells (section 11).

    `rows` holds `length` original rows of `width` numbers. `trace` gets these columns first, then
    the blinding columns, with 2^log_n cells each. The numbers of `drawn` are used in the order of
    the protocol.
    """
    n = 1 << log_n
    slackness = n // length
    used = 0
    for at in range(0, width * n, n):
        for i in range(n):
            if i % slackness == 0:
                cell = rows[(i // slackness) * width + at // n]
            else:
                cell = drawn[used]
                used += 1
            trace[at + lanes.reversed_index(i, log_n)] = cell
    for at in range(width * n, trace.size, n):
        for i in range(n):
            trace[at + lanes.reversed_index(i, log_n)] = drawn[used]
            used += 1
