"""Blocks and Ziggy for the prover: trace and composition polynomial (section 18.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain

import numpy as np

from dragon.errors import UnsafeParameters, WrongWitness
from dragon.stark import field as base
from dragon.stark import seeds
from dragon.stark.airs.blocks import OUTPUT_ROW, BlocksAir, periodic_columns
from dragon.stark.field import GENERATOR, P
from dragon.stark.parameter_sets import BLOCK_ROWS
from dragon.stark.parameters import DEGREE_FACTOR, Lengths, Parameters, Slack
from dragon.stark.prover import domains, periodic
from dragon.stark.prover.kernels import blocks_composition
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.montgomery import geometric, matrices, roots, word, words
from dragon.stark.prover.preimages import Preimages
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.rescue import DIGEST_LENGTH

_MIN_PER_THREAD = 64  # vectors of rows: less work is not split


@dataclass(frozen=True)
class BlocksWitness:
    """A blocks statement with the preimages of its outputs, including padding.

    With a private key and base parameters it is a Ziggy signature. `deterministic` then requests
    the blinding of the base protocol, which does not use `rho` (section 14.1). The reference's
    blinding for blocks reveals preimages (section 18.7); only tests may request it, with
    `leaky_for_tests`.
    """

    air: BlocksAir
    preimages: Preimages = field(repr=False)
    rho: bytes = field(repr=False, default=b"")
    private_key: bytes = field(repr=False, default=b"")
    deterministic: bool = False
    leaky_for_tests: bool = False

    def zk_seed(self, parameters: Parameters, channel_seed: bytes) -> bytes:
        if parameters.slack is None:
            return self._ziggy_seed(parameters, channel_seed)
        if parameters.slack is Slack.REFERENCE and not self.leaky_for_tests:
            raise UnsafeParameters("slack reference reveals preimages; use a strict parameter set")
        return seeds.blocks_zk_seed(channel_seed, self.rho, self.preimages.encode())

    def _ziggy_seed(self, parameters: Parameters, channel_seed: bytes) -> bytes:
        seed = seeds.ziggy_zk_seed(self.private_key, self.air.message)
        if self.deterministic:
            return seed
        return seeds.fresh_zk_seed(parameters.digest(), channel_seed, self.rho, seed)

    def rows(self, team: ThreadTeam) -> Words:
        outputs = self.preimages.outputs(team)
        wrong = np.flatnonzero(outputs != self._output_words)
        if wrong.size:
            number = int(wrong[0]) // DIGEST_LENGTH
            message = f"the hash of preimage {number} is not output {number}"
            raise WrongWitness(message, number=number)
        return self.preimages.rows(team)

    @cached_property
    def _output_words(self) -> Words:
        return words(chain.from_iterable(self.air.outputs))

    def compose(
        self, trace: Words, lengths: Lengths, coefficients: Words, result: Words, team: ThreadTeam
    ) -> None:
        columns, multipliers, shift = _tables(lengths)
        table = np.empty(blocks_composition.NUMBERS, dtype=np.uint64)
        blocks_composition.blocks_functionals(coefficients, matrices(), table)
        outputs = _outputs(self._output_words, lengths, team)
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


def _outputs(numbers: Words, lengths: Lengths, team: ThreadTeam) -> Words:
    """pk_0 … pk_3 on the coset 3·⟨ω_4n⟩ (section 18.3), from all outputs in sequence."""
    count = numbers.size // DIGEST_LENGTH
    order = [base.bit_reverse(b, base.log2(count)) for b in range(count)]
    columns = np.ascontiguousarray(numbers.reshape(count, DIGEST_LENGTH)[order].T).reshape(-1)
    ratio = GENERATOR * pow(lengths.row_generator, -OUTPUT_ROW, P)
    domains.interpolate(columns, count, geometric(count, base.inverse(count), ratio % P), team)
    return domains.evaluate(columns, count, DEGREE_FACTOR * lengths.trace_length, team)
