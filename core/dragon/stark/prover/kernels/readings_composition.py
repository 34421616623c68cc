"""The constraints on readings (section 19.5) on the coset 3·⟨ω_4n⟩.

A readings proof has the 20 constraints of a blocks proof, which `blocks_composition` sums up, and
18 more, which the kernel here adds to that result. Per row it computes *terms*:

    0..10 digits base 4 · 11 bit · 12 link · 13 constant · 14 range · 15, 16 step · 17 sum

then the terms 11 to 17 once more, times the power of x that adjusts their degree (18..24). For each
coordinate of K, C grows by four dot products of terms with coefficients α. The first digits share
their factors, so theirs are multiplied afterwards.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dragon.stark.prover.kernels import lanes
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Number, Words, inline, kernel
from dragon.stark.prover.kernels.polynomials import points
from dragon.stark.prover.kernels.rounds import cube, load_current, load_following
from dragon.stark.rescue import WIDTH

CONSTRAINTS: Final = 18  # beside those of a blocks proof
COLUMNS: Final = WIDTH + 2  # of the trace: Rescue and digits, the reading, the sum

# Cells of a row and the next: the two rows of digits are adjacent, as their weights are.
_FOLLOWING: Final = WIDTH
_READING: Final = 2 * WIDTH
_SUM: Final = _READING + 1
_NEXT_READING: Final = _READING + 2
_NEXT_SUM: Final = _READING + 3
_CELLS: Final = _READING + 4

_BIT: Final = 11
_LINK: Final = 12
_CONSTANT: Final = 13
_RANGE: Final = 14
_STEP: Final = 15
_STEP_ON: Final = 16
_TOTAL: Final = 17
_AGAIN: Final = 7  # the adjusted term k + 7 belongs to the term k ≥ 11
_TERMS: Final = CONSTRAINTS + _AGAIN

# `numbers`: weights of two rows for range, step and sum, then single numbers.
STEP_WEIGHTS: Final = 2 * WIDTH
SUM_WEIGHTS: Final = 4 * WIDTH
LOW: Final = 6 * WIDTH
STEP_LOW: Final = LOW + 1
SUM_LOW: Final = LOW + 2
ONE: Final = LOW + 3
TWO: Final = LOW + 4
THREE: Final = LOW + 5
NUMBERS: Final = LOW + 6

# `multipliers`: functions of y = x^B, one column each. Reciprocals of denominators come first.
DIGIT_ROWS: Final = 0
BLOCK_START: Final = 1
CONSTANT_ROWS: Final = 2
RANGE_ROW: Final = 3
STEP_ROW: Final = 4
ALL_ROWS: Final = 5
SIXTEENTH: Final = 6  # 1/(16·(y - 1))
DIGITS_UP: Final = 7  # times x³, the factor of adjusted digits
BIT_UP: Final = 8  # times x
XN: Final = 9  # x^n
X3N: Final = 10
X3N_Y: Final = 11
X3N_Y14: Final = 12
EVEN: Final = 13  # even_7 + 2^59
ODD: Final = 14  # element 7 of M^-1·odd
MULTIPLIERS: Final = 15

_VALUE_LIMB: Final = 7  # the limb of a preimage that holds the reading


@inline
def _load_cells(
    trace: Words, more: Words, rows: int, row: int, log_n: int, slackness: int, cells: Words
) -> None:
    """Load all cells of eight rows. `more` is the trace without its first twelve columns."""
    load_current(trace, rows, row, WIDTH, cells, 0)
    load_following(trace, rows, row, log_n, slackness, WIDTH, cells, LANES * _FOLLOWING)
    load_current(more, rows, row, 2, cells, LANES * _READING)
    load_following(more, rows, row, log_n, slackness, 2, cells, LANES * _NEXT_READING)


@inline
def _store_digits(cells: Words, numbers: Words, terms: Words) -> None:
    """Terms 0 to 11: x(x - 1)(x - 2)(x - 3) = t(t + 2) with t = x(x - 3), and x(x - 1)."""
    for j in range(_BIT):
        x = lanes.load(cells, LANES * j)
        t = lanes.product(lanes.difference(x, lanes.splat(numbers[THREE])), x)
        value = lanes.product(lanes.loose_sum(t, lanes.splat(numbers[TWO])), t)
        lanes.store(terms, LANES * j, value)
    x = lanes.load(cells, LANES * _BIT)
    value = lanes.product(lanes.difference(x, lanes.splat(numbers[ONE])), x)
    lanes.store(terms, LANES * _BIT, value)


@inline
def _link(
    cells: Words, constants: Words, multipliers: Words, at: int, pitch: int, linked: Number
) -> Number:
    """Term 12: on the first row of a block, the reading is the last limb minus 2^59."""
    row = WIDTH * (WIDTH + _VALUE_LIMB)
    state = lanes.dot(cells, LANES * _FOLLOWING, LANES, constants, row, WIDTH)
    state = cube(lanes.difference(state, lanes.load(multipliers, ODD * pitch + at)))
    limb = lanes.difference(state, lanes.load(multipliers, EVEN * pitch + at))
    link = lanes.difference(limb, lanes.load(cells, LANES * _NEXT_READING))
    return lanes.product(
        lanes.product(link, linked), lanes.load(multipliers, BLOCK_START * pitch + at)
    )


@inline
def _store_intervals(
    cells: Words, numbers: Words, multipliers: Words, at: int, pitch: int, stepped: Number,
    terms: Words,
) -> None:  # fmt: skip
    """Terms 13 to 16: the reading is constant, in its range, and as far from the last as allowed.

    The digits of a step are on the last row of a block and on the first row of the next block.
    """
    reading = lanes.load(cells, LANES * _READING)
    moved = lanes.difference(lanes.load(cells, LANES * _NEXT_READING), reading)
    q = lanes.load(multipliers, CONSTANT_ROWS * pitch + at)
    lanes.store(terms, LANES * _CONSTANT, lanes.product(moved, q))
    value = lanes.dot(cells, 0, LANES, numbers, 0, 2 * WIDTH)
    value = lanes.difference(lanes.difference(reading, lanes.splat(numbers[LOW])), value)
    q = lanes.load(multipliers, RANGE_ROW * pitch + at)
    lanes.store(terms, LANES * _RANGE, lanes.product(value, q))
    value = lanes.dot(cells, 0, LANES, numbers, STEP_WEIGHTS, WIDTH)
    value = lanes.difference(lanes.difference(moved, lanes.splat(numbers[STEP_LOW])), value)
    q = lanes.load(multipliers, STEP_ROW * pitch + at)
    lanes.store(terms, LANES * _STEP, lanes.product(value, q))
    value = lanes.dot(cells, 0, LANES, numbers, STEP_WEIGHTS + WIDTH, WIDTH)
    value = lanes.product(lanes.difference(moved, value), stepped)
    q = lanes.load(multipliers, BLOCK_START * pitch + at)
    lanes.store(terms, LANES * _STEP_ON, lanes.product(value, q))


@inline
def _total(
    cells: Words, numbers: Words, multipliers: Words, at: int, pitch: int, counted: Number,
    reciprocal: Number,
) -> Number:  # fmt: skip
    """Term 17: the running sum, which the last block pays back with its digits (section 19.5).

    `numbers` holds the weights and the lower bound of the sum times r/L.
    """
    sums = lanes.load(cells, LANES * _NEXT_SUM)
    sums = lanes.difference(sums, lanes.load(cells, LANES * _SUM))
    total = lanes.product(sums, lanes.load(multipliers, ALL_ROWS * pitch + at))
    paid = lanes.dot(cells, 0, LANES, numbers, SUM_WEIGHTS, 2 * WIDTH)
    paid = lanes.loose_sum(paid, lanes.splat(numbers[SUM_LOW]))
    total = lanes.sum_of(total, lanes.product(paid, reciprocal))
    added = lanes.product(lanes.load(cells, LANES * _NEXT_READING), counted)
    added = lanes.product(added, lanes.load(multipliers, SIXTEENTH * pitch + at))
    return lanes.difference(total, added)


@inline
def _adjust(
    terms: Words, multipliers: Words, at: int, pitch: int, x: Number, x3: Number, bit: Number
) -> None:
    """Store terms 18 to 24: terms 11 to 17, times the powers of x that adjust their degree.

    `bit` is term 11 before its reciprocal, which is a part of BIT_UP.
    """
    up = lanes.product(lanes.load(multipliers, BIT_UP * pitch + at), x)
    lanes.store(terms, LANES * (_BIT + _AGAIN), lanes.product(bit, up))
    up = lanes.product(lanes.load(multipliers, XN * pitch + at), x3)
    _store_adjusted(terms, _LINK, up)
    _store_adjusted(terms, _CONSTANT, lanes.load(multipliers, X3N_Y14 * pitch + at))
    up = lanes.load(multipliers, X3N_Y * pitch + at)
    _store_adjusted(terms, _RANGE, up)
    _store_adjusted(terms, _STEP, up)
    up = lanes.product(lanes.load(multipliers, X3N * pitch + at), x)
    _store_adjusted(terms, _STEP_ON, up)
    _store_adjusted(terms, _TOTAL, up)


@inline
def _store_adjusted(terms: Words, k: int, factor: Number) -> None:
    value = lanes.product(lanes.load(terms, LANES * k), factor)
    lanes.store(terms, LANES * (k + _AGAIN), value)


@inline
def _weighted(terms: Words, alphas: Words, at: int, digits: Number, digits_up: Number) -> Number:
    """Σ of plain and adjusted terms with the coefficients of one coordinate, 18 numbers each."""
    plain = lanes.dot(terms, 0, LANES, alphas, at, _LINK)
    adjusted = lanes.dot(terms, 0, LANES, alphas, at + CONSTRAINTS, _BIT)
    total = lanes.sum_of(lanes.product(plain, digits), lanes.product(adjusted, digits_up))
    rest = lanes.dot(terms, LANES * _LINK, LANES, alphas, at + _LINK, CONSTRAINTS - _LINK)
    total = lanes.sum_of(total, rest)
    at += CONSTRAINTS + _BIT
    first = LANES * (_BIT + _AGAIN)
    return lanes.sum_of(total, lanes.dot(terms, first, LANES, alphas, at, CONSTRAINTS - _BIT))


@kernel(
    "void(uint64[::1], int64, int64, int64, uint64[::1], uint64[::1], uint64[::1], uint64[::1], "
    "int64, uint64[::1], uint64[::1], uint64[::1], int64, uint64, uint64[::1], int64, int64)"
)
def readings_composition(
    trace: Words, rows: int, log_n: int, slackness: int, alphas: Words, constants: Words,
    numbers: Words, selectors: Words, summed: int, reciprocals: Words, multipliers: Words,
    roots: Words, shift: int, offset: Number, result: Words, first: int, last: int,
) -> None:  # fmt: skip
    """Add the constraints on readings to C(x_r), for row vectors first … last - 1 of 4n rows.

    `alphas` holds, for each coordinate of K, the 18 coefficients of the plain quotients and the 18
    of the adjusted ones. `constants` holds M by rows, then M^-1 by rows. `selectors` holds the
    values of `linked` and `stepped`; column `summed` of them chooses the readings of the sum.
    `reciprocals` holds 1/(x - h^-3), `multipliers` one vector per column and 2^shift row vectors.
    """
    domain = 4 << log_n
    pitch = multipliers.size // MULTIPLIERS
    more = trace[WIDTH * rows :]
    cells = np.empty(LANES * _CELLS, np.uint64)
    terms = np.empty(LANES * _TERMS, np.uint64)
    for vector in range(first, last):
        row = LANES * vector
        at = LANES * (vector >> shift)
        _load_cells(trace, more, rows, row, log_n, slackness, cells)
        # (1) The terms of these rows.
        _store_digits(cells, numbers, terms)
        linked, stepped = lanes.load(selectors, row), lanes.load(selectors, domain + row)
        link = _link(cells, constants, multipliers, at, pitch, linked)
        lanes.store(terms, LANES * _LINK, link)
        _store_intervals(cells, numbers, multipliers, at, pitch, stepped, terms)
        counted = lanes.load(selectors, summed * domain + row)
        reciprocal = lanes.load(reciprocals, row)
        total = _total(cells, numbers, multipliers, at, pitch, counted, reciprocal)
        lanes.store(terms, LANES * _TOTAL, total)
        x = lanes.product(points(roots, row), offset)
        x3 = cube(x)
        _adjust(terms, multipliers, at, pitch, x, x3, lanes.load(terms, LANES * _BIT))
        # (2) Their sum with the coefficients, for each coordinate.
        digits = lanes.load(multipliers, DIGIT_ROWS * pitch + at)
        digits_up = lanes.product(lanes.load(multipliers, DIGITS_UP * pitch + at), x3)
        for c in range(3):
            value = _weighted(terms, alphas, 2 * CONSTRAINTS * c, digits, digits_up)
            value = lanes.sum_of(value, lanes.load(result, c * domain + row))
            lanes.store(result, c * domain + row, lanes.canonical(value))
