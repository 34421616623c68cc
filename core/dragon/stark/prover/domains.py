"""From the trace domain to the evaluation domain and back, for whole tables (sections 6 and 11)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from dragon.stark import field
from dragon.stark.field import GENERATOR, P
from dragon.stark.parameters import DEGREE_FACTOR
from dragon.stark.prover.kernels import transforms
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.montgomery import geometric, inverse_roots, roots
from dragon.stark.prover.threads import ThreadTeam

_CACHED_LENGTHS: Final = 8  # lengths whose tables are kept
_MIN_NUMBERS_PER_THREAD: Final = 1 << 14  # numbers that are worth a thread


def interpolate(values: Words, length: int, scale: Words, team: ThreadTeam) -> None:
    """Columns of values on ⟨ω⟩, bit-reversed, become coefficients times `scale`, in place."""
    inverse = inverse_roots(max(length // 2, 8))

    def work(first: int, last: int) -> None:
        transforms.interpolate(values, length, inverse, scale, first, last)

    team.share(work, values.size // length, -(-_MIN_NUMBERS_PER_THREAD // length))


def evaluate(coefficients: Words, length: int, rows: int, team: ThreadTeam) -> Words:
    """Columns of `length` coefficients, evaluated on ⟨ω_rows⟩ in bit-reversed order."""
    columns = coefficients.size // length
    values = np.empty(columns * rows, dtype=np.uint64)
    forward = roots(max(rows // 2, 8))

    def work(first: int, last: int) -> None:
        transforms.evaluate(coefficients, length, values, rows, forward, first, last)

    team.share(work, columns * (rows // length), -(-_MIN_NUMBERS_PER_THREAD // length))
    return values


@lru_cache(maxsize=_CACHED_LENGTHS)
def unscaled(length: int) -> Words:
    """What interpolation alone needs."""
    return geometric(length, field.inverse(length), 1)


@lru_cache(maxsize=_CACHED_LENGTHS)
def onto_coset(length: int) -> Words:
    """For coefficients c_i·3^i, which evaluated on ⟨ω⟩ give the values on 3·⟨ω⟩."""
    return geometric(length, field.inverse(length), GENERATOR)


@lru_cache(maxsize=_CACHED_LENGTHS)
def composition_scale(n: int) -> Words:
    """For C on 3·⟨ω_4n⟩: its coefficient 4i + b is coefficient i of h_b, and is to be times 3^i."""
    size = DEGREE_FACTOR * n
    ratio = pow(GENERATOR, 1 - DEGREE_FACTOR, P)
    starts = [field.inverse(size * GENERATOR**b % P) for b in range(DEGREE_FACTOR)]
    parts = np.stack([geometric(n, start, ratio) for start in starts], axis=1)
    return np.ascontiguousarray(parts).reshape(-1)


def split_composition(coefficients: Words, n: int) -> Words:
    """Coefficients of C, three columns, to those of h_0 … h_3, three columns each."""
    parts = coefficients.reshape(3, n, DEGREE_FACTOR).transpose(2, 0, 1)
    return np.ascontiguousarray(parts).reshape(-1)
