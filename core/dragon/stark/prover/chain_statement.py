"""Rescue chains for the prover: trace and composition polynomial (section 5.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from dragon.errors import WrongWitness
from dragon.stark import field as base
from dragon.stark import seeds
from dragon.stark.airs.rescue_chain import PERIOD, RescueChainAir, periodic_columns
from dragon.stark.field import GENERATOR, P
from dragon.stark.parameters import DEGREE_FACTOR, Lengths, Parameters
from dragon.stark.prover import periodic
from dragon.stark.prover.kernels import chain_composition, polynomials, rescue
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Words
from dragon.stark.prover.montgomery import (
    inverse_roots,
    matrices,
    rescue_constants,
    roots,
    word,
    words,
)
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.rescue import DIGEST_LENGTH, WIDTH

_FAMILIES = 8
_MIN_VECTORS_PER_THREAD = 64  # vectors of rows: less work is not split


@dataclass(frozen=True)
class ChainWitness:
    """A Rescue chain with its secret words w_0 … w_c, four elements each.

    `deterministic` requests the blinding of the base protocol, without `rho` (section 14.1).
    """

    air: RescueChainAir
    words: Sequence[Sequence[int]] = field(repr=False)
    rho: bytes = field(repr=False, default=b"")
    deterministic: bool = False

    def zk_seed(self, parameters: Parameters, channel_seed: bytes) -> bytes:
        seed = seeds.chain_zk_seed(self.words)
        if self.deterministic:
            return seed
        return seeds.fresh_zk_seed(parameters.digest(), channel_seed, self.rho, seed)

    def rows(self, team: ThreadTeam) -> Words:
        """The original trace, computed in sequence: each hash needs the previous one."""
        batches = self.air.original_length // PERIOD
        secret = words(x for element in self.words for x in element)
        padded = np.zeros(DIGEST_LENGTH * (3 * batches + 1), dtype=np.uint64)
        padded[: secret.size] = secret
        rows = np.empty(WIDTH * self.air.original_length, dtype=np.uint64)
        rescue.chain_rows(padded, rescue_constants(), rows, batches)
        secret.fill(0)
        padded.fill(0)
        at = WIDTH * self.air.output_row
        if not np.array_equal(rows[at : at + DIGEST_LENGTH], words(self.air.output)):
            rows.fill(0)
            raise WrongWitness("the chain of the words does not end in the output")
        return rows

    def compose(
        self, trace: Words, lengths: Lengths, coefficients: Words, result: Words, team: ThreadTeam
    ) -> None:
        columns, multipliers, numbers = _tables(lengths)
        table = np.empty(6 * _FAMILIES * chain_composition.SLOTS, dtype=np.uint64)
        output = words(self.air.output)
        chain_composition.chain_functionals(coefficients, matrices(), output, table)
        domain = DEGREE_FACTOR * lengths.trace_length
        forward, backward = roots(domain // 2), inverse_roots(domain // 2)
        offset, pole = word(GENERATOR), word(pow(lengths.row_generator, self.air.output_row, P))
        reciprocals = np.empty(domain, dtype=np.uint64)

        def invert(first: int, last: int) -> None:
            polynomials.reciprocals(reciprocals, forward, offset, pole, first, last)

        def work(first: int, last: int) -> None:
            chain_composition.chain_composition(
                trace, lengths.domain_size, base.log2(lengths.trace_length), lengths.slackness,
                table, matrices(), columns, multipliers, reciprocals, forward, backward, numbers,
                result, first, last,
            )  # fmt: skip

        team.share(invert, domain // LANES, _MIN_VECTORS_PER_THREAD)
        team.share(work, columns.size // (2 * WIDTH))


@lru_cache(maxsize=8)
def _tables(lengths: Lengths) -> tuple[Words, Words, Words]:
    """Periodic columns and multipliers for each run of rows, and constants (section 5.7)."""
    columns = periodic.values(periodic.with_inverted_odd(periodic_columns()), lengths)
    n, periods = lengths.trace_length, lengths.original_length // PERIOD
    h, arguments = lengths.row_generator, periodic.arguments(lengths, PERIOD)
    plain = _quotients(arguments, {t: pow(h, periods * t, P) for t in (0, 10, 20, 30, 31)})
    # x^e of each family as powers of x^n and y, without x² (families 1 to 5) and 1/x (family 6).
    exponents = ((3, 1), (1, 1), (1, PERIOD - 3), (1, PERIOD - 5), (1, 2), (1, 1), (3, 1))
    adjusted = [
        [q * pow(y, a * (n // periods) + b, P) % P for q, y in zip(family, arguments, strict=True)]
        for family, (a, b) in zip(plain, exponents, strict=True)
    ]
    ordered = (*plain[:6], *adjusted[:6], plain[6], adjusted[6])
    cosets = arguments[:: len(arguments) // DEGREE_FACTOR]
    numbers = [GENERATOR, base.inverse(GENERATOR), pow(h, -1, P)]  # h^-1 is h^(L-1)
    numbers += [pow(y, 3 * (n // periods), P) for y in cosets]
    return columns, words(q for family in ordered for q in family), words(numbers)


def _quotients(arguments: Sequence[int], on_row: Mapping[int, int]) -> list[list[int]]:
    """num/den of families 0 to 5, and 1/y_31, at every y.

    `on_row` maps t to the y of rows ≡ t mod 32.
    """
    y0, y10, y20, y30, y31 = ([y - root for y in arguments] for root in on_row.values())
    all_rows = base.batch_inverse([pow(y, PERIOD, P) - 1 for y in arguments])
    batches = [a * b * c * d % P for a, b, c, d in zip(y0, y30, y31, all_rows, strict=True)]
    hashes = [a * b * c % P for a, b, c in zip(batches, y10, y20, strict=True)]
    joints = base.batch_inverse([a * b % P for a, b in zip(y10, y20, strict=True)])
    first, ending, carried = (base.batch_inverse(each) for each in (y0, y30, y31))
    return [first, first, batches, hashes, joints, ending, carried]
