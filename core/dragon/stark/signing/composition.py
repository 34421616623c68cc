"""The composition polynomial of a signature on the coset 3·⟨ω_4n⟩ (sections 5.5 and 18.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from operator import mul as times

from dragon.stark import extension as ext
from dragon.stark import field
from dragon.stark.airs.blocks import CAPACITY, OUTPUT_ROW, BlocksAir, periodic_columns
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.parameter_sets import BLOCK_ROWS
from dragon.stark.parameters import DEGREE_FACTOR, Lengths
from dragon.stark.rescue import (
    DIGEST_LENGTH,
    WIDTH,
    Digest,
    Matrix,
    mds_matrix,
    mds_matrix_inverse,
)
from dragon.stark.signing.transforms import evaluate, interpolate


def composition_values(
    air: BlocksAir, trace: Sequence[Sequence[int]], lengths: Lengths, alphas: Sequence[Element]
) -> list[Element]:
    """C at each point of the coset, in natural order.

    `trace` holds the trace columns on this coset. `alphas` are α_0, α_1, …, two per constraint.
    """
    rows, step = list(zip(*trace, strict=True)), DEGREE_FACTOR * lengths.slackness
    following = rows[step:] + rows[:step]
    plain, adjusted = ext.pack(alphas[::2]), _adjusted(air.exponents(lengths), alphas[1::2])
    found = []
    for point, current, later, periodic, inverses in zip(
        _points(lengths), rows, following, _periodic(lengths), _vanishing(lengths), strict=True
    ):
        quotients = _quotients(air.outputs[0], current, later, periodic, inverses)
        value = ext.dot(plain, quotients)
        for exponent, packed in adjusted:
            part = ext.scale(ext.dot(packed, quotients), pow(point, exponent, P))
            value = ext.add(value, part)
        found.append(value)
    return found


def _adjusted(
    exponents: Sequence[int], alphas: Sequence[Element]
) -> list[tuple[int, Sequence[int]]]:
    """By exponent: the packed α of its constraints, and zeros for the others."""
    return [
        (
            chosen,
            ext.pack(
                alpha if exponent == chosen else ext.ZERO
                for exponent, alpha in zip(exponents, alphas, strict=True)
            ),
        )
        for chosen in sorted(set(exponents))
    ]


def _quotients(
    output: Digest,
    current: Sequence[int],
    following: Sequence[int],
    periodic: Sequence[int],
    inverses: Sequence[int],
) -> list[int]:
    """num_k/den_k of all constraints at one point (section 5.4)."""
    even, odd = periodic[:WIDTH], periodic[WIDTH:]
    cubes = [x * x * x for x in current]
    ends = [
        (x + constant) % P for x, constant in zip(_product(mds_matrix(), cubes), even, strict=True)
    ]
    shifted = [x - constant for x, constant in zip(following, odd, strict=True)]
    starts = [pow(x, 3, P) for x in _product(mds_matrix_inverse(), shifted)]
    first, chained, last = inverses
    return [
        *[(even[i] - starts[i]) * first % P for i in CAPACITY],
        *[(a - b) * chained % P for a, b in zip(ends, starts, strict=True)],
        *[(ends[i] - output[i]) * last % P for i in range(DIGEST_LENGTH)],
    ]


def _product(matrix: Matrix, vector: Sequence[int]) -> list[int]:
    return [sum(map(times, row, vector)) for row in matrix]


@cache
def _points(lengths: Lengths) -> list[int]:
    return evaluate([0, 1], DEGREE_FACTOR * lengths.trace_length)


@cache
def _periodic(lengths: Lengths) -> list[tuple[int, ...]]:
    """All periodic columns at each point: 16 values each, zero on the slack rows (section 5.3)."""
    columns = []
    for column in periodic_columns():
        spaced = [0] * lengths.trace_length
        spaced[:: lengths.slackness] = column
        columns.append(evaluate(interpolate(spaced), DEGREE_FACTOR * lengths.trace_length))
    return list(zip(*columns, strict=True))


@cache
def _vanishing(lengths: Lengths) -> list[tuple[int, ...]]:
    """1/den of the three families of constraints at each point."""
    on_row = field.powers(field.root_of_unity(BLOCK_ROWS), BLOCK_ROWS)
    families = (on_row[:1], on_row[1:OUTPUT_ROW], on_row[OUTPUT_ROW : OUTPUT_ROW + 1])
    inverses = [
        field.batch_inverse([math.prod(x - row for row in family) % P for x in _points(lengths)])
        for family in families
    ]
    return list(zip(*inverses, strict=True))
