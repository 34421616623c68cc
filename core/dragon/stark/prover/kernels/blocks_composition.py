"""The composition polynomial of blocks proofs (section 18.3) on the coset 3·⟨ω_4n⟩.

The sum over constraints is regrouped. A constraint is linear in the *forms* of a row: the outputs
pk, the cubes of the current row, the states B before the round, and the periodic `even`. For each
coordinate of K and for each of α_2k and α_2k+1, a family of constraints with the same domain is
therefore one dot product:

    pk 0..3 · cubes 0..11 · B 8..11 · B 0..7              even 0..11      the forms, in this order
    [---- family 2 (16) ----]                             [4]             outputs
            [--------- family 1 (24) ----------]          [--- 12 ---]    rounds
                          [ family 0 (4) ]                       [ 4]     capacity

The part with `even`, and the multiplier of a family, are the same for all rows of a run. It is
computed once for each run.
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

FAMILIES: Final = 3
MULTIPLIERS: Final = 2 * FAMILIES
PERIODIC: Final = 2 * WIDTH  # even_0 …, then the coordinates of M^-1·odd
_CUBES: Final = 4
_STATES: Final = 16
_FORMS: Final = 28
_EVEN: Final = 44  # in the numbers of one part and coordinate: those that belong to `even`
_TERMS: Final = 64  # in all three families together
NUMBERS: Final = 6 * _TERMS


@inline
def _family(family: int) -> tuple[int, int, int]:
    """First form, number of forms, and offset of the family's numbers."""
    if family == 0:
        return _STATES, 4, 0
    if family == 1:
        return _CUBES, 24, 4
    return 0, 16, 28


@inline
def _even(family: int) -> tuple[int, int, int]:
    """First column of `even`, number of columns, and offset of the numbers for them."""
    if family == 0:
        return 8, 4, _EVEN
    if family == 1:
        return 0, WIDTH, _EVEN + 4
    return 0, 4, _EVEN + 16


@kernel("void(uint64[::1], uint64[::1], uint64[::1])")
def blocks_functionals(alphas: Words, constants: Words, table: Words) -> None:
    """Compute the factors of the dot products from the coefficients α (three numbers each).

    `constants` begins with M by rows. Coordinate c of part p (0: plain, 1: adjusted) begins at
    64·(3p + c) in `table`.
    """
    zero = np.uint64(0)
    for k in range(table.size):
        table[k] = zero
    for part in range(2):
        for c in range(3):
            at = _TERMS * (3 * part + c)
            for k in range(20):
                alpha = alphas[3 * (2 * k + part) + c]
                negative = lanes.canonical(lanes.difference(zero, alpha))
                if k < 4:
                    table[at + k] = negative
                    table[at + _EVEN + k] = alpha
                    continue
                i = k - 4 if k < 16 else k - 16
                cubes = at + 4 if k < 16 else at + 32
                for j in range(WIDTH):
                    weighted = lanes.product(alpha, constants[WIDTH * i + j])
                    weighted = lanes.sum_of(table[cubes + j], weighted)
                    table[cubes + j] = lanes.canonical(weighted)
                if k < 16:
                    table[at + _EVEN + 4 + i] = alpha
                    table[cubes + WIDTH + (i + 4) % WIDTH] = negative
                else:
                    table[at + _EVEN + 16 + i] = alpha
                    table[at + 28 + i] = negative


@inline
def _store_periodic(
    table: Words, periodic: Words, multipliers: Words, pitch: int, at: int, shared: Words
) -> None:
    """Σ_f q_f·(the part with `even`) of the run at `at`: a vector for each part and coordinate."""
    for part in range(2):
        for c in range(3):
            total = lanes.splat(np.uint64(0))
            for family in range(FAMILIES):
                first, columns, number = _even(family)
                number += _TERMS * (3 * part + c)
                s = lanes.dot(periodic, first * pitch + at, pitch, table, number, columns)
                q = lanes.load(multipliers, (FAMILIES * part + family) * pitch + at)
                total = lanes.sum_of(total, lanes.product(s, q))
            lanes.store(shared, LANES * (3 * part + c), total)


@kernel(
    "void(uint64[::1], int64, int64, int64, uint64[::1], uint64[::1], uint64[::1], uint64[::1], "
    "uint64[::1], uint64[::1], int64, uint64, uint64[::1], int64, int64)"
)
def blocks_composition(
    trace: Words, rows: int, log_n: int, slackness: int, table: Words, constants: Words,
    outputs: Words, periodic: Words, multipliers: Words, roots: Words, shift: int, offset: Number,
    result: Words, first: int, last: int,
) -> None:  # fmt: skip
    """Compute C(x_r) for row vectors first … last - 1 of the first 4n rows of the trace table.

    `constants` holds M by rows, then M^-1 by rows. `periodic` and `multipliers` hold, for each
    column, one vector per 2^shift row vectors. The multipliers are q_f of each family f (num/den),
    then q_f · x^(e_f - 2). `outputs` holds the values of pk_0 … pk_3 on the coset.
    """
    domain = 4 << log_n
    pitch = periodic.size // PERIODIC
    forms = np.empty(LANES * (_FORMS + WIDTH), np.uint64)
    shared = np.empty(LANES * 6, np.uint64)
    following, run = LANES * _FORMS, -1
    for vector in range(first, last):
        row = LANES * vector
        at = LANES * (vector >> shift)
        if at != run:
            _store_periodic(table, periodic, multipliers, pitch, at, shared)
            run = at
        # (1) The forms of these rows.
        load_following(trace, rows, row, log_n, slackness, WIDTH, forms, following)
        load_current(trace, rows, row, WIDTH, forms, LANES * _CUBES)
        for i in range(4):
            lanes.store(forms, LANES * i, lanes.load(outputs, i * domain + row))
        for i in range(WIDTH):
            place = LANES * (_CUBES + i)
            lanes.store(forms, place, cube(lanes.load(forms, place)))
            state = lanes.dot(forms, following, LANES, constants, WIDTH * (WIDTH + i), WIDTH)
            odd = lanes.load(periodic, (WIDTH + i) * pitch + at)
            state = cube(lanes.difference(state, odd))
            lanes.store(forms, LANES * (_STATES + (i + 4) % WIDTH), state)
        # (2) Σ_f q_f·(plain + x²·…·adjusted), for each coordinate.
        x = lanes.product(points(roots, row), offset)
        square = lanes.square(x)
        for c in range(3):
            plain, adjusted = lanes.load(shared, LANES * c), lanes.load(shared, LANES * (3 + c))
            for family in range(FAMILIES):
                form, terms, number = _family(family)
                number += _TERMS * c
                q = lanes.load(multipliers, family * pitch + at)
                s = lanes.dot(forms, LANES * form, LANES, table, number, terms)
                plain = lanes.sum_of(plain, lanes.product(s, q))
                number += 3 * _TERMS
                q = lanes.load(multipliers, (FAMILIES + family) * pitch + at)
                s = lanes.dot(forms, LANES * form, LANES, table, number, terms)
                adjusted = lanes.sum_of(adjusted, lanes.product(s, q))
            total = lanes.sum_of(plain, lanes.product(adjusted, square))
            lanes.store(result, c * domain + row, lanes.canonical(total))
