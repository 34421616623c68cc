"""The functions of y = x^B by which the constraints on readings are multiplied (section 19.5)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from dragon.stark import field as base
from dragon.stark.airs import readings
from dragon.stark.airs.blocks import periodic_columns
from dragon.stark.commitment import READING_OFFSET
from dragon.stark.field import P
from dragon.stark.parameter_sets import BLOCK_ROWS
from dragon.stark.parameters import Lengths
from dragon.stark.prover import periodic
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.montgomery import word, words
from dragon.stark.rescue import WIDTH

_ALL_ROWS: Final = range(BLOCK_ROWS)


@lru_cache(maxsize=8)
def multipliers(lengths: Lengths) -> tuple[Words, int]:
    """The kernel's multipliers as vectors, and log2 of the row vectors that share one.

    The columns are in the order of `kernels.readings_composition`.
    """
    arguments = periodic.arguments(lengths, BLOCK_ROWS)
    run = periodic.run_length(lengths, BLOCK_ROWS)
    columns = [*_reciprocals(arguments), *_powers(arguments, lengths)]
    plain = words(x for column in columns for x in column)
    distinct = np.concatenate([plain, _limb_columns(lengths)])
    shared = max(0, base.log2(run) - base.log2(LANES))
    return periodic.as_vectors(distinct, run), shared


def _reciprocals(arguments: Sequence[int]) -> Iterator[list[int]]:
    """The reciprocals of the denominators, which vanish on some rows of each block."""
    on_row = base.powers(base.root_of_unity(BLOCK_ROWS), BLOCK_ROWS)
    first, constant = [0], list(readings.CONSTANT_ROWS)
    families = (readings.DIGIT_ROWS, first, constant, [readings.RANGE_ROW], [readings.STEP_ROW])
    for rows in (*families, _ALL_ROWS):
        yield base.batch_inverse([math.prod(y - on_row[r] for r in rows) % P for y in arguments])
    yield base.batch_inverse([BLOCK_ROWS * (y - 1) % P for y in arguments])


def _powers(arguments: Sequence[int], lengths: Lengths) -> Iterator[list[int]]:
    """The factors that adjust degrees. x^n is y^(n/B); x and x³ are left to the kernel."""
    rows = lengths.trace_length * BLOCK_ROWS // lengths.original_length  # n/B
    digits, *_ = _reciprocals(arguments)
    yield [q * pow(y, 6, P) % P for q, y in zip(digits, arguments, strict=True)]
    yield [q * pow(y, 6 + 2 * rows, P) % P for q, y in zip(digits, arguments, strict=True)]
    for exponent in (rows, 3 * rows, 3 * rows + 1, 3 * rows + 14):
        yield [pow(y, exponent, P) for y in arguments]


def _limb_columns(lengths: Lengths) -> Words:
    """even_7 + 2^59, and element 7 of M^-1·odd: what the link of a reading needs."""
    columns = periodic.with_inverted_odd(periodic_columns())
    even, odd = columns[readings.VALUE_LIMB], columns[WIDTH + readings.VALUE_LIMB]
    values = periodic.values((even, odd), lengths).reshape(2, -1)
    # A periodic column is zero on the rows between original rows, so 2^59 is no part of `even`.
    values[0] = (values[0] + word(READING_OFFSET)) % np.uint64(P)
    return values.reshape(-1)
