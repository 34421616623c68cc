"""Periodic columns and multipliers on the coset 3·⟨ω_4n⟩ (section 5.3).

A function of y = x^(n/m) with m = T·s has only 4m different values there. In bit-reversed order,
each value holds for n/m consecutive rows. Kernels read the values in vectors of eight rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dragon.stark import field
from dragon.stark.field import GENERATOR, P
from dragon.stark.parameters import DEGREE_FACTOR, Lengths
from dragon.stark.prover import domains
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.montgomery import geometric
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.rescue import WIDTH, Matrix, mds_matrix_inverse


def run_length(lengths: Lengths, period: int) -> int:
    """The number of consecutive rows that share a value: n/(T·s)."""
    return lengths.original_length // period


def values(columns: Matrix, lengths: Lengths) -> Words:
    """The distinct values of each periodic column, one column after the other."""
    period, team = len(columns[0]), ThreadTeam(1)
    size, bits = period * lengths.slackness, field.log2(period * lengths.slackness)
    sparse = np.zeros((len(columns), size), dtype=np.uint64)
    places = [field.bit_reverse(lengths.slackness * k, bits) for k in range(period)]
    sparse[:, places] = [[x * field.R % P for x in column] for column in columns]
    coefficients = sparse.reshape(-1)
    offset = pow(GENERATOR, run_length(lengths, period), P)
    scale = geometric(size, field.inverse(size), offset)
    domains.interpolate(coefficients, size, scale, team)
    return domains.evaluate(coefficients, size, DEGREE_FACTOR * size, team)


def arguments(lengths: Lengths, period: int) -> list[int]:
    """The distinct values of y, in the same order."""
    size = DEGREE_FACTOR * period * lengths.slackness
    offset = pow(GENERATOR, run_length(lengths, period), P)
    powers = field.powers(field.root_of_unity(size), size)
    bits = field.log2(size)
    return [offset * powers[field.bit_reverse(k, bits)] % P for k in range(size)]


def as_vectors(distinct: Words, run: int) -> Words:
    """Repeat values to vectors of eight rows: one vector per eight rows, or per run if longer."""
    return np.repeat(distinct, min(run, LANES))


def with_inverted_odd(columns: Matrix) -> Matrix:
    """even_0 … even_11 unchanged, then M^-1·odd. B subtracts the latter from M^-1·next."""
    odd = columns[WIDTH:]
    inverted = [_combination(row, odd) for row in mds_matrix_inverse()]
    return (*columns[:WIDTH], *inverted)


def _combination(factors: Sequence[int], columns: Sequence[Sequence[int]]) -> tuple[int, ...]:
    return tuple(
        sum(factor * x for factor, x in zip(factors, row, strict=True)) % P
        for row in zip(*columns, strict=True)
    )
