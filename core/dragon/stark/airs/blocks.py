"""Ziggy blocks: "I know the Rescue preimages of these B values" (sections 4.1, 5.6 and 18.3).

With B = 1 and a base parameter file this is Ziggy.
"""

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
from dragon.stark.interpolation import interpolants_at, periodic_at
from dragon.stark.parameter_sets import BLOCK_ROWS, is_block_count
from dragon.stark.parameters import Lengths, Parameters
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.rescue import DIGEST_LENGTH, N_ROUNDS, WIDTH, Digest, Matrix, round_constants

CAPACITY: Final = range(8, WIDTH)
OUTPUT_ROW: Final = N_ROUNDS  # within a block; the output follows half a round later
_ROUND_ROOT: Final = field.root_of_unity(BLOCK_ROWS)


@cache
def periodic_columns() -> Matrix:
    """even_0 … even_11, odd_0 … odd_11, each as 16 values, one per row of a block (section 5.3)."""
    constants = round_constants()
    blank = (0,) * WIDTH
    even = [constants[2 * r] if r <= N_ROUNDS else blank for r in range(BLOCK_ROWS)]
    odd = [constants[2 * r + 1] if r < N_ROUNDS else blank for r in range(BLOCK_ROWS)]
    return (*zip(*even, strict=True), *zip(*odd, strict=True))


def rows_vanishing_at(z: Element, n_blocks: int) -> list[Element]:
    """z^B - ω_16^r for each row r of a block; it vanishes exactly on the rows ≡ r mod 16."""
    y = ext.power(z, n_blocks)
    return [ext.sub(y, ext.embed(root)) for root in field.powers(_ROUND_ROOT, BLOCK_ROWS)]


@dataclass(frozen=True, slots=True)
class BlocksAir:
    """The outputs P_0 … P_{B-1}, four elements of F each, and the message bound to them.

    Raises ProofRefused (parameters): the number of outputs is not a power of two up to 4096.
    """

    outputs: tuple[Digest, ...]
    message: bytes

    def __post_init__(self) -> None:
        if not is_block_count(len(self.outputs)):
            count = len(self.outputs)
            message = f"the number of outputs must be a power of two from 1 to 4096, not {count}"
            raise ProofRefused(Reason.PARAMETERS, message)

    @property
    def n_blocks(self) -> int:
        """B, the number of outputs."""
        return len(self.outputs)

    @property
    def original_length(self) -> int:
        return BLOCK_ROWS * self.n_blocks

    @property
    def columns(self) -> int:
        return WIDTH

    @property
    def n_constraints(self) -> int:
        return 20

    @property
    def mask(self) -> Sequence[tuple[int, int]]:
        return MASK

    def admit(self, parameters: Parameters) -> None:
        if not parameters.zero_knowledge:
            raise ProofRefused(Reason.PARAMETERS, "a Ziggy proof requires zero knowledge")
        if parameters.slack is None and self.n_blocks != 1:
            raise ProofRefused(Reason.PARAMETERS, "a base parameter file allows one output only")

    def channel_seed(self, parameters: Parameters) -> bytes:
        if parameters.slack is None:
            return seeds.ziggy_channel_seed(self.outputs[0], self.message)
        return seeds.blocks_channel_seed(parameters.digest(), self.outputs, self.message)

    def exponents(self, lengths: Lengths) -> Sequence[int]:
        least = lengths.trace_length + 2
        single, nine = least + self.n_blocks, least + 9 * self.n_blocks
        return [single] * 4 + [nine] * 12 + [single] * 4

    def families_at(
        self, z: Element, values: Sequence[Element], lengths: Lengths
    ) -> Sequence[Family]:
        periodic = periodic_at(periodic_columns(), z, lengths)
        even, odd = periodic[:WIDTH], periodic[WIDTH:]
        ends = ends_of_rounds(values[:WIDTH], even)
        starts = starts_of_rounds(values[WIDTH:], odd)
        outputs = self.outputs_at(z, lengths)

        on_row = rows_vanishing_at(z, self.n_blocks)
        chained = ext.product(on_row[1:OUTPUT_ROW])

        exponents = self.exponents(lengths)
        capacity = [ext.sub(even[i], starts[i]) for i in CAPACITY]
        return [
            Family(capacity, ext.ONE, on_row[0], exponents[0]),
            Family(differences(ends, starts), ext.ONE, chained, exponents[4]),
            Family(
                differences(ends[:DIGEST_LENGTH], outputs),
                ext.ONE,
                on_row[OUTPUT_ROW],
                exponents[16],
            ),
        ]

    def outputs_at(self, z: Element, lengths: Lengths) -> list[Element]:
        """pk_0(z) … pk_3(z), where pk_i(h^(16b + 10)) is element i of output b (section 18.3).

        Raises ZeroDivisionError: z is one of these points.
        """
        if self.n_blocks == 1:
            return [ext.embed(element) for element in self.outputs[0]]
        shift = pow(lengths.row_generator, -OUTPUT_ROW, P)
        return interpolants_at(list(zip(*self.outputs, strict=True)), ext.scale(z, shift))
