"""Readings for the prover: trace and composition polynomial (sections 19.3 and 19.5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np

from dragon.stark import field as base
from dragon.stark import seeds
from dragon.stark.airs.readings import COLUMNS, SUM_ROW, VALUE_LIMB, ReadingsAir
from dragon.stark.commitment import READING_OFFSET
from dragon.stark.field import GENERATOR, P
from dragon.stark.parameter_sets import BLOCK_ROWS
from dragon.stark.parameters import DEGREE_FACTOR, Lengths, Parameters
from dragon.stark.prover import domains
from dragon.stark.prover.blocks_statement import BlocksWitness
from dragon.stark.prover.kernels import polynomials, readings_composition
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.kernels.readings_composition import CONSTRAINTS
from dragon.stark.prover.montgomery import geometric, matrices, roots, word, words
from dragon.stark.prover.preimages import Preimages
from dragon.stark.prover.readings_tables import multipliers
from dragon.stark.prover.readings_trace import ReadingCells, check_readings
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.reading_bounds import weights
from dragon.stark.rescue import WIDTH

_MIN_VECTORS_PER_THREAD: Final = 64  # vectors of rows: less work is not split


@dataclass(frozen=True)
class ReadingsWitness:
    """A readings statement with the preimages of its outputs, including padding.

    Raises WrongWitness: a reading, a step or the sum is out of bounds.
    """

    air: ReadingsAir
    preimages: Preimages = field(repr=False)
    rho: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_readings(self.air.bounds, self._readings(), self.air.carried)

    def zk_seed(self, parameters: Parameters, channel_seed: bytes) -> bytes:
        return seeds.readings_zk_seed(channel_seed, self.rho, self.preimages.encode())

    def rows(self, team: ThreadTeam) -> Words:
        rescue = self._blocks.rows(team)
        rows = np.zeros(BLOCK_ROWS * COLUMNS * self.air.n_blocks, dtype=np.uint64)
        rows.reshape(-1, COLUMNS)[:, :WIDTH] = rescue.reshape(-1, WIDTH)
        rescue.fill(0)
        cells = ReadingCells(self.air, self._readings())
        cells.write(rows)
        cells.wipe()
        return rows

    def compose(
        self, trace: Words, lengths: Lengths, coefficients: Words, result: Words, team: ThreadTeam
    ) -> None:
        of_blocks = 3 * 2 * self.air.blocks.n_constraints
        self._blocks.compose(trace, lengths, coefficients[:of_blocks], result, team)
        alphas = _by_coordinate(coefficients[of_blocks:])
        numbers, selectors = _numbers(self.air, lengths), _selectors(self.air, lengths, team)
        reciprocals = _reciprocals(lengths, team)
        columns, shift = multipliers(lengths)
        domain = DEGREE_FACTOR * lengths.trace_length
        forward = roots(max(domain // 2, LANES))

        def work(first: int, last: int) -> None:
            readings_composition.readings_composition(
                trace, lengths.domain_size, base.log2(lengths.trace_length), lengths.slackness,
                alphas, matrices(), numbers, selectors, int(self.air.carried), reciprocals,
                columns, forward, shift, word(GENERATOR), result, first, last,
            )  # fmt: skip

        team.share(work, domain // LANES, _MIN_VECTORS_PER_THREAD)

    @cached_property
    def _blocks(self) -> BlocksWitness:
        """The statement without the bounds, which a blocks proof would prove."""
        return BlocksWitness(self.air.blocks, self.preimages)

    def _readings(self) -> list[int]:
        stored = self.preimages.elements(VALUE_LIMB, 1, self.air.n_readings + 1)
        return [value - READING_OFFSET for value in stored]


def _by_coordinate(coefficients: Words) -> Words:
    """Coefficients in the order of the kernel: by coordinate of K, plain ones, adjusted ones."""
    pairs = coefficients.reshape(CONSTRAINTS, 2, 3)
    return np.ascontiguousarray(pairs.transpose(2, 1, 0)).reshape(-1)


def _numbers(air: ReadingsAir, lengths: Lengths) -> Words:
    """Weights and single numbers, in the order of the kernel."""
    bounds = air.bounds
    scale = _sum_point(lengths) * base.inverse(lengths.original_length) % P
    in_range, in_step, in_sum = (
        [weight for row in weights(width) for weight in row]
        for width in (bounds.width, bounds.step_width, bounds.sum_width)
    )
    in_sum = [scale * weight for weight in in_sum]
    single = (bounds.low, bounds.step_low, scale * bounds.sum_low, 1, 2, 3)
    return words([*in_range, *in_step, *in_sum, *single])


def _sum_point(lengths: Lengths) -> int:
    """r = h^-3, the point of the row where the sum is paid back (section 19.5)."""
    return pow(lengths.row_generator, SUM_ROW - BLOCK_ROWS, P)


def _reciprocals(lengths: Lengths, team: ThreadTeam) -> Words:
    """1/(x - r) on the coset 3·⟨ω_4n⟩ (section 19.5)."""
    domain = DEGREE_FACTOR * lengths.trace_length
    result, forward = np.empty(domain, dtype=np.uint64), roots(max(domain // 2, LANES))
    pole = word(_sum_point(lengths))

    def work(first: int, last: int) -> None:
        polynomials.reciprocals(result, forward, word(GENERATOR), pole, first, last)

    team.share(work, domain // LANES, _MIN_VECTORS_PER_THREAD)
    return result


def _selectors(air: ReadingsAir, lengths: Lengths, team: ThreadTeam) -> Words:
    """`linked` and `stepped` on the coset 3·⟨ω_4n⟩ (section 19.5)."""
    count, bits = air.n_blocks, base.log2(air.n_blocks)
    order = [base.bit_reverse(b, bits) for b in range(count)]
    chosen = words(int(first <= b <= air.n_readings) for first in (1, 2) for b in order)
    scale = geometric(count, base.inverse(count), GENERATOR)
    domains.interpolate(chosen, count, scale, team)
    return domains.evaluate(chosen, count, DEGREE_FACTOR * lengths.trace_length, team)
