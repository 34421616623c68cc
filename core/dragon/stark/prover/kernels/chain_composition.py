"""The composition polynomial of Rescue chains (section 5.7) on the coset 3·⟨ω_4n⟩.

Six of the eight families of constraints have factors that depend only on y = x^(L/32). Many
consecutive rows (a *run*) share y. For each run, the six families are merged into two dot products
per coordinate of K. Their factors are computed once per run. C is

    Σ run(x) + x²·Σ run'(x)                           families 0 … 5
    + (x - h^(L-1))·(Σ + x^-1·Σ')·q_6                 family 6, where the words are carried on
    + (Σ + x·Σ')/(x - h^t)                            family 7, the output

where each Σ is linear in the *forms* of a row: current, next, cubes of current, and B.
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

MERGED: Final = 6  # families that are merged for a run
MULTIPLIERS: Final = 2 * MERGED + 2
FORMS: Final = 48
_NEXT: Final = 12
_CUBES: Final = 24
_STATES: Final = 36
_EVEN: Final = 48  # in `table`: the factors of even_0 …
_ONE: Final = 60  # in `table`: the constant
SLOTS: Final = 64  # per family, part and coordinate

# The table of section 5.7 by family: its first constraint; the state index of that constraint; and
# whether it contains the current row, `even` without A, -B, A, and the negated next row.
_BEGINS: Final = (0, 4, 16, 20, 28, 32, 44, 48, 52)
_STATE: Final = (8, 0, 0, 4, 8, 0, 0, 0)
_HAS_CURRENT: Final = (1, 1, 0, 0, 0, 0, 1, 1)
_HAS_EVEN: Final = (0, 1, 0, 0, 1, 0, 0, 0)
_HAS_START: Final = (0, 1, 1, 1, 1, 0, 0, 0)
_HAS_END: Final = (0, 0, 1, 1, 0, 1, 0, 0)
_HAS_NEXT: Final = (0, 0, 0, 0, 0, 1, 1, 0)
_OUTPUT: Final = 7


@inline
def _add(table: Words, at: int, x: Number) -> None:
    table[at] = lanes.canonical(lanes.sum_of(table[at], x))


@kernel("void(uint64[::1], uint64[::1], uint64[::1], uint64[::1])")
def chain_functionals(alphas: Words, constants: Words, output: Words, table: Words) -> None:
    """Compute the factors of the dot products from the coefficients α (three numbers each).

    Coordinate c of part p (0: plain, 1: adjusted) of family f begins at 64·(6f + 3p + c) in
    `table`. `constants` begins with M by rows. `output` is the output of the chain.
    """
    zero = np.uint64(0)
    for k in range(table.size):
        table[k] = zero
    for family in range(len(_STATE)):
        for k in range(_BEGINS[family], _BEGINS[family + 1]):
            i = k - _BEGINS[family] + _STATE[family]
            for part in range(2):
                for c in range(3):
                    at = SLOTS * (6 * family + 3 * part + c)
                    alpha = alphas[3 * (2 * k + part) + c]
                    negative = lanes.canonical(lanes.difference(zero, alpha))
                    if _HAS_CURRENT[family]:
                        _add(table, at + i, alpha)
                    if _HAS_EVEN[family]:
                        _add(table, at + _EVEN + i, alpha)
                    if _HAS_START[family]:
                        _add(table, at + _STATES + i, negative)
                    if _HAS_END[family]:
                        _add(table, at + _EVEN + i, alpha)  # A = even + M·cubes
                        for j in range(WIDTH):
                            weight = lanes.product(alpha, constants[WIDTH * i + j])
                            _add(table, at + _CUBES + j, weight)
                    if _HAS_NEXT[family]:
                        _add(table, at + _NEXT + i, negative)
                    if family == _OUTPUT:
                        _add(table, at + _ONE, lanes.product(negative, output[i]))


@inline
def _merge(
    table: Words, periodic: Words, multipliers: Words, runs: int, run: int, merged: Words
) -> None:
    """The factors for one run: three plain coordinates, then three that are multiplied by x².

    Slot `_ONE` holds the constant, which includes the multiples of `even`.
    """
    for row in range(6):
        for slot in range(0, SLOTS, LANES):
            lanes.store(merged, SLOTS * row + slot, lanes.splat(np.uint64(0)))
    for family in range(MERGED):
        for part in range(2):
            factor = multipliers[(MERGED * part + family) * runs + run]
            # x^e is a function of y for family 0, and x² times such a function for the others.
            target = 1 if part == 1 and family > 0 else 0
            for c in range(3):
                source, at = SLOTS * (6 * family + 3 * part + c), SLOTS * (3 * target + c)
                for slot in range(0, SLOTS, LANES):
                    scaled = lanes.product(lanes.load(table, source + slot), factor)
                    total = lanes.sum_of(lanes.load(merged, at + slot), scaled)
                    lanes.store(merged, at + slot, total)
    for row in range(6):
        at = SLOTS * row
        constant = merged[at + _ONE]
        for i in range(WIDTH):
            even = lanes.product(merged[at + _EVEN + i], periodic[i * runs + run])
            constant = lanes.sum_of(constant, even)
        for slot in range(SLOTS):
            merged[at + slot] = lanes.canonical(merged[at + slot])
        merged[at + _ONE] = constant


@inline
def _load_forms(
    trace: Words, rows: int, row: int, log_n: int, slackness: int, constants: Words,
    periodic: Words, runs: int, run: int, forms: Words,
) -> None:  # fmt: skip
    load_current(trace, rows, row, WIDTH, forms, 0)
    load_following(trace, rows, row, log_n, slackness, WIDTH, forms, LANES * _NEXT)
    for i in range(WIDTH):
        lanes.store(forms, LANES * (_CUBES + i), cube(lanes.load(forms, LANES * i)))
        state = lanes.dot(forms, LANES * _NEXT, LANES, constants, WIDTH * (WIDTH + i), WIDTH)
        odd = lanes.splat(periodic[(WIDTH + i) * runs + run])
        lanes.store(forms, LANES * (_STATES + i), cube(lanes.difference(state, odd)))


@inline
def _value(
    forms: Words, table: Words, merged: Words, c: int, x: Number, inverse_x: Number, scaled_x:
    Number, reciprocal: Number, q: Number, adjusted_q: Number, last_row: Number,
) -> Number:  # fmt: skip
    """Coordinate c of C for eight rows.

    The 48 forms add up to less than (12 + 12 + 12·1.15 + 12·1.375)·p < 55·p, as `dot` requires.
    """
    total = lanes.dot(forms, 0, LANES, merged, SLOTS * c, FORMS)
    total = lanes.sum_of(total, lanes.splat(merged[SLOTS * c + _ONE]))
    adjusted = lanes.dot(forms, 0, LANES, merged, SLOTS * (3 + c), FORMS)
    adjusted = lanes.sum_of(adjusted, lanes.splat(merged[SLOTS * (3 + c) + _ONE]))
    total = lanes.sum_of(total, lanes.product(adjusted, lanes.square(x)))
    # Family 6: the first four of current and of next. Other factors in these 16 forms are zero.
    at = SLOTS * (36 + c)
    plain = lanes.product(lanes.dot(forms, 0, LANES, table, at, 16), q)
    other = lanes.product(lanes.dot(forms, 0, LANES, table, at + 3 * SLOTS, 16), adjusted_q)
    words = lanes.sum_of(plain, lanes.product(other, inverse_x))
    words = lanes.product(words, lanes.difference(x, lanes.splat(last_row)))
    total = lanes.sum_of(total, words)
    # Family 7: the first four of current.
    at = SLOTS * (42 + c)
    plain = lanes.dot(forms, 0, LANES, table, at, 4)
    plain = lanes.sum_of(plain, lanes.splat(table[at + _ONE]))
    at += 3 * SLOTS
    other = lanes.dot(forms, 0, LANES, table, at, 4)
    other = lanes.sum_of(other, lanes.splat(table[at + _ONE]))
    ending = lanes.sum_of(plain, lanes.product(other, scaled_x))
    return lanes.sum_of(total, lanes.product(ending, reciprocal))


@kernel(
    "void(uint64[::1], int64, int64, int64, uint64[::1], uint64[::1], uint64[::1], uint64[::1], "
    "uint64[::1], uint64[::1], uint64[::1], uint64[::1], uint64[::1], int64, int64)"
)
def chain_composition(
    trace: Words, rows: int, log_n: int, slackness: int, table: Words, constants: Words,
    periodic: Words, multipliers: Words, reciprocals: Words, roots: Words, inverse_roots: Words,
    numbers: Words, result: Words, first: int, last: int,
) -> None:  # fmt: skip
    """Compute C(x_r) for runs first … last - 1 of the first 4n rows of the trace table.

    `constants` holds M by rows, then M^-1 by rows. `periodic` (even, then M^-1·odd) and
    `multipliers` hold one number per column and run. The multipliers are num/den of families 0 to
    5; the same times x^e or x^(e - 2); then, for family 6, 1/y_31 and that times x^(e + 1).
    `reciprocals` holds 1/(x - h^t) of family 7. `numbers` holds 3, 1/3, h^(L-1), and x^3n for the
    four cosets.
    """
    domain = 4 << log_n
    runs = periodic.size // (2 * WIDTH)
    length = domain // runs
    forms = np.empty(LANES * FORMS, np.uint64)
    merged = np.empty(6 * SLOTS, np.uint64)
    cells = np.empty(LANES, np.uint64)
    for run in range(first, last):
        _merge(table, periodic, multipliers, runs, run, merged)
        q, adjusted_q = multipliers[12 * runs + run], multipliers[13 * runs + run]
        begin, end = run * length, (run + 1) * length
        for row in range(begin & ~(LANES - 1), end, LANES):
            _load_forms(trace, rows, row, log_n, slackness, constants, periodic, runs, run, forms)
            x = lanes.product(points(roots, row), numbers[0])
            inverse_x = lanes.product(points(inverse_roots, row), numbers[1])
            scaled_x = lanes.product(x, numbers[3 + (row >> log_n)])
            reciprocal = lanes.load(reciprocals, row)
            for c in range(3):
                value = _value(
                    forms,
                    table,
                    merged,
                    c,
                    x,
                    inverse_x,
                    scaled_x,
                    reciprocal,
                    q,
                    adjusted_q,
                    numbers[2],
                )
                lanes.store(cells, 0, lanes.canonical(value))
                # If runs are short, the vector also holds rows of other runs.
                for k in range(max(begin, row), min(end, row + LANES)):
                    result[c * domain + k] = cells[k - row]
