"""Interpolate and evaluate whole tables (sections 6 and 11)."""

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

_CACHED_LENGTHS: Final = 8  # results that each function keeps
_MIN_NUMBERS_PER_THREAD: Final = 1 << 14  # less work is not split


def interpolate(values: Words, length: int, scale: Words, team: ThreadTeam) -> None:
    """Turn columns of values on ⟨ω⟩ into coefficients, in place.

    Values are in bit-reversed order. Coefficient i is multiplied by `scale[i]`.
    """
    inverse = inverse_roots(max(length // 2, 8))

    def work(first: int, last: int) -> None:
        transforms.interpolate(values, length, inverse, scale, first, last)

    team.share(work, values.size // length, -(-_MIN_NUMBERS_PER_THREAD // length))


def evaluate(coefficients: Words, length: int, rows: int, team: ThreadTeam) -> Words:
    """Evaluate columns of `length` coefficients on ⟨ω_rows⟩, in bit-reversed order."""
    columns = coefficients.size // length
    values = np.empty(columns * rows, dtype=np.uint64)
    forward = roots(max(rows // 2, 8))

    def work(first: int, last: int) -> None:
        transforms.evaluate(coefficients, length, values, rows, forward, first, last)

    team.share(work, columns * (rows // length), -(-_MIN_NUMBERS_PER_THREAD // length))
    return values


@lru_cache(maxsize=_CACHED_LENGTHS)
def unscaled(length: int) -> Words:
    """The scale for plain interpolation: 1/length for each coefficient."""
    return geometric(length, field.inverse(length), 1)


@lru_cache(maxsize=_CACHED_LENGTHS)
def onto_coset(length: int) -> Words:
    """The scale that gives c_i·3^i. Evaluated on ⟨ω⟩, these give the values on 3·⟨ω⟩."""
    return geometric(length, field.inverse(length), GENERATOR)


@lru_cache(maxsize=_CACHED_LENGTHS)
def composition_scale(n: int) -> Words:
    """The scale for values of C on 3·⟨ω_4n⟩.

    Coefficient 4i + b of C is coefficient i of h_b, and is needed times 3^i.
    """
    size = DEGREE_FACTOR * n
    ratio = pow(GENERATOR, 1 - DEGREE_FACTOR, P)
    starts = [field.inverse(size * GENERATOR**b % P) for b in range(DEGREE_FACTOR)]
    parts = np.stack([geometric(n, start, ratio) for start in starts], axis=1)
    return np.ascontiguousarray(parts).reshape(-1)


def split_composition(coefficients: Words, n: int) -> Words:
    """Split the coefficients of C (three columns) into those of h_0 … h_3 (three columns each)."""
    parts = coefficients.reshape(3, n, DEGREE_FACTOR).transpose(2, 0, 1)
    return np.ascontiguousarray(parts).reshape(-1)
