"""Blocks and Ziggy for the prover: trace and composition polynomial (section 18.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from dragon.errors import UnsafeParameters, WrongWitness
from dragon.stark import field as base
from dragon.stark import seeds
from dragon.stark.airs.blocks import OUTPUT_ROW, BlocksAir, periodic_columns
from dragon.stark.field import GENERATOR, P
from dragon.stark.parameter_sets import BLOCK_ROWS
from dragon.stark.parameters import DEGREE_FACTOR, Lengths, Parameters, Slack
from dragon.stark.prover import domains, periodic
from dragon.stark.prover.kernels import blocks_composition, rescue
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.montgomery import geometric, matrices, rescue_constants, roots, word, words
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.rescue import DIGEST_LENGTH, N_ROUNDS, RATE, WIDTH

_MIN_PER_THREAD = 64  # hashes, or vectors of rows: less work is not split


@dataclass(frozen=True)
class BlocksWitness:
    """A blocks statement with its preimages: eight elements per output, including padding.

    With a private key and base parameters it is a Ziggy signature. `deterministic` then requests
    the blinding of the base protocol, which does not use `rho` (section 14.1). The reference's
    blinding for blocks reveals preimages (section 18.7); only tests may request it, with
    `leaky_for_tests`.
    """

    air: BlocksAir
    preimages: Sequence[Sequence[int]] = field(repr=False)
    rho: bytes = field(repr=False, default=b"")
    private_key: bytes = field(repr=False, default=b"")
    deterministic: bool = False
    leaky_for_tests: bool = False

    def zk_seed(self, parameters: Parameters) -> bytes:
        if parameters.slack is None:
            return self._ziggy_seed(parameters)
        if parameters.slack is Slack.REFERENCE and not self.leaky_for_tests:
            raise UnsafeParameters("slack reference reveals preimages; use a strict parameter set")
        channel_seed = self.air.channel_seed(parameters)
        return seeds.blocks_zk_seed(channel_seed, self.rho, self.preimages)

    def _ziggy_seed(self, parameters: Parameters) -> bytes:
        seed = seeds.ziggy_zk_seed(self.private_key, self.air.message)
        if self.deterministic:
            return seed
        channel_seed = self.air.channel_seed(parameters)
        return seeds.fresh_zk_seed(parameters.digest(), channel_seed, self.rho, seed)

    def rows(self, team: ThreadTeam) -> Words:
        preimages = words(x for preimage in self.preimages for x in preimage)
        rows = np.zeros(BLOCK_ROWS * WIDTH * self.air.n_blocks, dtype=np.uint64)
        outputs = np.empty(DIGEST_LENGTH * self.air.n_blocks, dtype=np.uint64)

        def work(first: int, last: int) -> None:
            rescue.hash_many(preimages, rescue_constants(), outputs, rows, BLOCK_ROWS, first, last)

        team.share(work, self.air.n_blocks, _MIN_PER_THREAD)
        preimages.fill(0)
        expected = words(x for output in self.air.outputs for x in output)
        wrong = np.flatnonzero(outputs != expected)
        if wrong.size:
            rows.fill(0)
            number = int(wrong[0]) // DIGEST_LENGTH
            raise WrongWitness(
                f"the hash of preimage {number} is not output {number}", number=number
            )
        return rows

    def compose(
        self, trace: Words, lengths: Lengths, coefficients: Words, result: Words, team: ThreadTeam
    ) -> None:
        columns, multipliers, shift = _tables(lengths)
        table = np.empty(blocks_composition.NUMBERS, dtype=np.uint64)
        blocks_composition.blocks_functionals(coefficients, matrices(), table)
        outputs = _outputs(self.air, lengths, team)
        domain = DEGREE_FACTOR * lengths.trace_length
        forward = roots(max(domain // 2, LANES))

        def work(first: int, last: int) -> None:
            blocks_composition.blocks_composition(
                trace, lengths.domain_size, base.log2(lengths.trace_length), lengths.slackness,
                table, matrices(), outputs, columns, multipliers, forward, shift, word(GENERATOR),
                result, first, last,
            )  # fmt: skip

        team.share(work, domain // LANES, _MIN_PER_THREAD)


@lru_cache(maxsize=8)
def _tables(lengths: Lengths) -> tuple[Words, Words, int]:
    """Periodic columns and multipliers as vectors, and log2 of the row vectors that share one.

    See section 18.3. A multiplier is num/den of a family, or num/den · x^(e - 2), where e is n + 2
    plus a multiple of B. All of them are functions of y = x^B.
    """
    columns = periodic.values(periodic.with_inverted_odd(periodic_columns()), lengths)
    rows = lengths.trace_length * BLOCK_ROWS // lengths.original_length  # n/B
    arguments = periodic.arguments(lengths, BLOCK_ROWS)
    on_row = base.powers(base.root_of_unity(BLOCK_ROWS), BLOCK_ROWS)
    vanishing = (on_row[:1], on_row[1:OUTPUT_ROW], on_row[OUTPUT_ROW : OUTPUT_ROW + 1])
    plain = [
        base.batch_inverse([math.prod(y - root for root in zeros) % P for y in arguments])
        for zeros in vanishing
    ]
    adjusted = [
        [q * pow(y, rows + len(zeros), P) % P for q, y in zip(family, arguments, strict=True)]
        for family, zeros in zip(plain, vanishing, strict=True)
    ]
    multipliers = words(q for family in (*plain, *adjusted) for q in family)
    run = periodic.run_length(lengths, BLOCK_ROWS)
    shared = max(0, base.log2(run) - base.log2(LANES))
    return periodic.as_vectors(columns, run), periodic.as_vectors(multipliers, run), shared


def _outputs(air: BlocksAir, lengths: Lengths, team: ThreadTeam) -> Words:
    """pk_0 … pk_3 on the coset 3·⟨ω_4n⟩ (section 18.3)."""
    count, bits = air.n_blocks, base.log2(air.n_blocks)
    order = [base.bit_reverse(b, bits) for b in range(count)]
    columns = words(air.outputs[b][i] for i in range(DIGEST_LENGTH) for b in order)
    ratio = GENERATOR * pow(lengths.row_generator, -OUTPUT_ROW, P)
    domains.interpolate(columns, count, geometric(count, base.inverse(count), ratio % P), team)
    return domains.evaluate(columns, count, DEGREE_FACTOR * lengths.trace_length, team)


def rescue_hashes(preimages: Words, team: ThreadTeam) -> Words:
    """The Rescue hashes, four numbers each, of preimages of eight numbers each."""
    count = preimages.size // RATE
    outputs = np.empty(DIGEST_LENGTH * count, dtype=np.uint64)

    def work(first: int, last: int) -> None:
        rescue.hash_many(preimages, rescue_constants(), outputs, outputs[:0], N_ROUNDS, first, last)

    team.share(work, count, _MIN_PER_THREAD)
    return outputs
