"""Rescue chain: "I know words that hash, in sequence, to this value" (sections 4.2, 5.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from dragon.stark import extension as ext
from dragon.stark import field, seeds
from dragon.stark.air import Family
from dragon.stark.airs.rounds import MASK, differences, ends_of_rounds, starts_of_rounds
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.interpolation import periodic_at
from dragon.stark.parameters import Lengths, Parameters
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.rescue import DIGEST_LENGTH, N_ROUNDS, WIDTH, Digest, Matrix, round_constants

PERIOD: Final = 32  # rows of a batch, which holds three hashes
HASHES_PER_PERIOD: Final = 3
MAX_CHAIN: Final = 3 << 24  # a trace of 2^29 rows, the limit of the original programs


@cache
def periodic_columns() -> Matrix:
    """even_0 … even_11, odd_0 … odd_11, each as 32 values, one per row of a batch (section 5.3)."""
    constants = round_constants()
    blank = (0,) * WIDTH
    odd = [constants[2 * (r % N_ROUNDS) + 1] if r < 30 else blank for r in range(PERIOD)]
    even = [constants[2 * ((r - 1) % N_ROUNDS) + 2] for r in range(PERIOD)]
    # Between two hashes the output drops its capacity; the next hash adds its first constants.
    sums = [(a + b) % P for a, b in zip(constants[2 * N_ROUNDS], constants[0], strict=True)]
    turn = (*sums[:DIGEST_LENGTH], *constants[0][DIGEST_LENGTH:])
    even[0], even[10], even[20], even[31] = constants[0], turn, turn, blank
    return (*zip(*even, strict=True), *zip(*odd, strict=True))


@dataclass(frozen=True, slots=True)
class RescueChainAir:
    """The output of a chain and its length, a positive multiple of three.

    Raises ProofRefused (input): the length is not such a number, or too large.
    """

    output: Digest
    chain_length: int

    def __post_init__(self) -> None:
        length = self.chain_length
        if type(length) is not int or not 0 < length <= MAX_CHAIN or length % HASHES_PER_PERIOD:
            message = f"a chain length must be a multiple of three from 3 to {MAX_CHAIN}"
            raise ProofRefused(Reason.INPUT, message)

    @property
    def original_length(self) -> int:
        return 1 << field.ceil_log2(PERIOD * self.chain_length // HASHES_PER_PERIOD)

    @property
    def columns(self) -> int:
        return WIDTH

    @property
    def n_constraints(self) -> int:
        return 52

    @property
    def mask(self) -> Sequence[tuple[int, int]]:
        return MASK

    @property
    def output_row(self) -> int:
        """The last row of the batch in which the chain ends."""
        return PERIOD * (self.chain_length // HASHES_PER_PERIOD) - 1

    def admit(self, parameters: Parameters) -> None:
        if parameters.slack is not None:
            message = "a Rescue chain requires a base parameter file (without slack)"
            raise ProofRefused(Reason.PARAMETERS, message)

    def channel_seed(self, parameters: Parameters) -> bytes:
        return seeds.chain_channel_seed(self.output, self.chain_length)

    def exponents(self, lengths: Lengths) -> Sequence[int]:
        n, rows = lengths.trace_length, self.original_length
        periods = rows // PERIOD
        return [
            *[3 * n + periods] * 4,
            *[n + 2 + periods] * 12,
            *[n + 2 - 3 * periods + rows] * 4,
            *[n + 2 - 5 * periods + rows] * 8,
            *[n + 2 + 2 * periods] * 4,
            *[n + 2 + periods] * 12,
            *[3 * n - 1 + periods] * 4,
            *[3 * n + 1] * 4,
        ]

    def families_at(
        self, z: Element, values: Sequence[Element], lengths: Lengths
    ) -> Sequence[Family]:
        # (1) The states that the constraints use.
        current, following = values[:WIDTH], values[WIDTH:]
        periodic = periodic_at(periodic_columns(), z, lengths)
        even, odd = periodic[:WIDTH], periodic[WIDTH:]
        ends = ends_of_rounds(current, even)
        starts = starts_of_rounds(following, odd)
        begun = [ext.add(x, constant) for x, constant in zip(current, even, strict=True)]
        output = [ext.embed(x) for x in self.output]

        # (2) Vanishing polynomials; y_t vanishes on rows ≡ t mod 32.
        rows, h = self.original_length, lengths.row_generator
        y = ext.power(z, rows // PERIOD)
        y0, y10, y20, y30, y31 = (
            ext.sub(y, ext.embed(pow(h, rows // PERIOD * t, P))) for t in (0, 10, 20, 30, 31)
        )
        all_rows = ext.sub(ext.power(z, rows), ext.ONE)
        ends_of_batches = ext.mul(ext.mul(y0, y30), y31)
        ends_of_hashes = ext.mul(ends_of_batches, ext.mul(y10, y20))
        last_row = ext.sub(z, ext.embed(pow(h, rows - 1, P)))
        output_row = ext.sub(z, ext.embed(pow(h, self.output_row, P)))

        # (3) The constraints, in the order of the table in section 5.7.
        within = differences(ends, starts)
        e = self.exponents(lengths)
        return [
            Family(current[8:], ext.ONE, y0, e[0]),
            Family(differences(begun, starts), ext.ONE, y0, e[4]),
            Family(within[:4], ends_of_batches, all_rows, e[16]),
            Family(within[4:], ends_of_hashes, all_rows, e[20]),
            Family(differences(even[8:], starts[8:]), ext.ONE, ext.mul(y10, y20), e[28]),
            Family(differences(ends, following), ext.ONE, y30, e[32]),
            Family(differences(current[:4], following[:4]), last_row, y31, e[44]),
            Family(differences(current[:4], output), ext.ONE, output_row, e[48]),
        ]
