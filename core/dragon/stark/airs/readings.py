"""Ziggy readings: the committed numbers keep their bounds (sections 19.1, 19.3 and 19.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dragon.stark import extension as ext
from dragon.stark import field, seeds
from dragon.stark.air import Family
from dragon.stark.airs.blocks import BlocksAir, periodic_columns, rows_vanishing_at
from dragon.stark.airs.rounds import starts_of_rounds
from dragon.stark.commitment import READING_OFFSET
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.interpolation import interpolants_at, periodic_at
from dragon.stark.parameter_sets import BLOCK_ROWS
from dragon.stark.parameters import Lengths, Parameters, Slack
from dragon.stark.reading_bounds import ReadingBounds, weights
from dragon.stark.refusal import ProofRefused, Reason
from dragon.stark.rescue import RATE, WIDTH, Digest

READING_COLUMN: Final = WIDTH
SUM_COLUMN: Final = WIDTH + 1
COLUMNS: Final = WIDTH + 2
MASK: Final = tuple((row, column) for row in (0, 1) for column in range(COLUMNS))
VALUE_LIMB: Final = RATE - 1  # w_7, the element of a preimage that holds the reading

# Rows within a block. Two rows of digits begin at the first three; the digits of a step lie on the
# last row of a block and on the first row of the next.
RANGE_ROW: Final = 11
SUM_ROW: Final = 13  # of the last block only
STEP_ROW: Final = 15
DIGIT_ROWS: Final = (0, 11, 12, 13, 14, 15)
CONSTANT_ROWS: Final = range(1, 15)  # the reading is the same on the next row
DIGIT_COLUMNS: Final = range(11)  # digits 0 to 3
BIT_COLUMN: Final = 11  # digits 0 and 1


@dataclass(frozen=True, slots=True)
class ReadingsAir:
    """The outputs P_0 … P_{B-1}, of which P_1 … P_N hold readings; all others are the identity P_0.

    With `carried`, P_1 is the last commitment of the previous window. It counts for range and
    steps, and not for the sum.

    Raises ProofRefused (input, parameters): these values do not form a statement (section 19.1).
    """

    outputs: tuple[Digest, ...]
    n_readings: int  # N, including the carried one
    carried: bool
    bounds: ReadingBounds
    message: bytes

    def __post_init__(self) -> None:
        self.bounds.check(self.n_readings, self.carried)
        n_blocks = self.blocks.n_blocks
        least = 1 << self.n_readings.bit_length()
        message = f"{self.n_readings} readings need {least} outputs, not {n_blocks}"
        _require(n_blocks == least, message)
        identity, end = self.outputs[0], self.n_readings + 1
        _require(identity not in self.outputs[1:end], "a commitment equals the identity")
        padded = all(output == identity for output in self.outputs[end:])
        _require(padded, "the padding must repeat the identity")

    @property
    def blocks(self) -> BlocksAir:
        """The statement without the bounds: "I know the preimages of these outputs"."""
        return BlocksAir(self.outputs, self.message)

    @property
    def n_blocks(self) -> int:
        """B, the number of outputs."""
        return len(self.outputs)

    @property
    def n_summed(self) -> int:
        """The number of readings in the sum: all but the carried one."""
        return self.n_readings - self.carried

    @property
    def original_length(self) -> int:
        return BLOCK_ROWS * self.n_blocks

    @property
    def columns(self) -> int:
        return COLUMNS

    @property
    def n_constraints(self) -> int:
        return 38

    @property
    def mask(self) -> Sequence[tuple[int, int]]:
        return MASK

    def admit(self, parameters: Parameters) -> None:
        if parameters.slack is not Slack.STRICT:
            raise ProofRefused(Reason.PARAMETERS, "a readings proof requires strict slack")

    def channel_seed(self, parameters: Parameters) -> bytes:
        return seeds.readings_channel_seed(
            parameters.digest(),
            self.n_readings,
            self.carried,
            self.bounds.encode(),
            outputs=self.outputs,
            message=self.message,
        )

    def exponents(self, lengths: Lengths) -> Sequence[int]:
        n, blocks = lengths.trace_length, self.n_blocks
        return [
            *self.blocks.exponents(lengths),
            *[3 + 6 * blocks] * len(DIGIT_COLUMNS),
            2 * n + 1 + 6 * blocks,
            n + 3,
            3 * n + 14 * blocks,
            3 * n + blocks,
            3 * n + blocks,
            3 * n + 1,
            3 * n + 1,
        ]

    def families_at(
        self, z: Element, values: Sequence[Element], lengths: Lengths
    ) -> Sequence[Family]:
        current, following = values[:COLUMNS], values[COLUMNS:]
        rescue = [*current[:WIDTH], *following[:WIDTH]]
        return [
            *self.blocks.families_at(z, rescue, lengths),
            *_ReadingFamilies(self, z, current, following, lengths).all(),
        ]

    def selectors_at(self, z: Element) -> tuple[Element, Element]:
        """linked(z) and stepped(z), the polynomials of degree < B of section 19.5.

        At h^(16b), linked is 1 for 1 <= b <= N and stepped for 2 <= b <= N; else they are 0.

        Raises ZeroDivisionError: z is one of these points.
        """
        blocks = range(self.n_blocks)
        linked = [int(1 <= b <= self.n_readings) for b in blocks]
        stepped = [int(2 <= b <= self.n_readings) for b in blocks]
        at_linked, at_stepped = interpolants_at([linked, stepped], z)
        return at_linked, at_stepped


class _ReadingFamilies:
    """Constraints 20 to 37 at one point."""

    def __init__(
        self,
        air: ReadingsAir,
        z: Element,
        current: Sequence[Element],
        following: Sequence[Element],
        lengths: Lengths,
    ) -> None:
        self.air, self.z, self.lengths = air, z, lengths
        self.current, self.following = current, following
        self.on_row = rows_vanishing_at(z, air.n_blocks)
        self.all_rows = ext.sub(ext.power(z, air.original_length), ext.ONE)
        self.linked, self.stepped = air.selectors_at(z)
        self.reading, self.next_reading = current[READING_COLUMN], following[READING_COLUMN]
        self.move = ext.sub(self.next_reading, self.reading)

    def all(self) -> list[Family]:
        """The families in the order of the constraints."""
        digits, bits, link, constant, in_range, first, second, total = self.air.exponents(
            self.lengths
        )[30:]
        on_row = self.on_row
        with_digits = ext.product(on_row[r] for r in DIGIT_ROWS)
        within_block = ext.product(on_row[r] for r in CONSTANT_ROWS)
        quads = [_quaternary(self.current[j]) for j in DIGIT_COLUMNS]
        bit = self.current[BIT_COLUMN]
        return [
            Family(quads, ext.ONE, with_digits, digits),
            Family([ext.mul(bit, _less(bit, 1))], ext.ONE, with_digits, bits),
            Family([self._link()], ext.ONE, on_row[0], link),
            Family([self.move], ext.ONE, within_block, constant),
            Family([self._in_range()], ext.ONE, on_row[RANGE_ROW], in_range),
            Family([self._first_half()], ext.ONE, on_row[STEP_ROW], first),
            Family([self._second_half()], ext.ONE, on_row[0], second),
            Family([self._total()], ext.ONE, self.all_rows, total),
        ]

    def _link(self) -> Element:
        """The reading on the next row is the last limb of the preimage, less 2^59."""
        periodic = periodic_at(periodic_columns(), self.z, self.lengths)
        even, odd = periodic[:WIDTH], periodic[WIDTH:]
        start = starts_of_rounds(self.following[:WIDTH], odd)[VALUE_LIMB]
        limb = ext.sub(start, even[VALUE_LIMB])
        return ext.mul(self.linked, ext.sub(_less(limb, READING_OFFSET), self.next_reading))

    def _in_range(self) -> Element:
        bounds = self.air.bounds
        above_low = _less(self.reading, bounds.low)
        return ext.sub(above_low, self._expressed(bounds.width))

    def _first_half(self) -> Element:
        """Row 15 of a block moves the reading by step_low and the first row of digits."""
        bounds = self.air.bounds
        first, _ = weights(bounds.step_width)
        return ext.sub(_less(self.move, bounds.step_low), _dot(first, self.current))

    def _second_half(self) -> Element:
        """Row 0 of a block moves it by the second row of digits, if there is a step."""
        _, second = weights(self.air.bounds.step_width)
        return ext.mul(self.stepped, ext.sub(self.move, _dot(second, self.current)))

    def _total(self) -> Element:
        """The sum column grows by each reading, and falls by the sum's digits at the end."""
        bounds = self.air.bounds
        paid = ext.add(ext.embed(bounds.sum_low), self._expressed(bounds.sum_width))
        grown = ext.sub(self.following[SUM_COLUMN], self.current[SUM_COLUMN])
        read = ext.mul(ext.mul(self._summed(), self._starts()), self.next_reading)
        return ext.add(ext.sub(grown, read), ext.mul(self._due(), paid))

    def _summed(self) -> Element:
        return self.stepped if self.air.carried else self.linked

    def _starts(self) -> Element:
        """I(z), which is 1 on the first row of each block and 0 on all other rows."""
        scaled = ext.scale(self.on_row[0], BLOCK_ROWS)
        return ext.mul(self.all_rows, ext.inverse(scaled))

    def _due(self) -> Element:
        """Λ(z), which is 1 on row 13 of the last block and 0 on all other rows."""
        length = self.air.original_length
        point = pow(self.lengths.row_generator, SUM_ROW - BLOCK_ROWS, P)
        factor = ext.scale(self.all_rows, point * field.inverse(length))
        return ext.mul(factor, ext.inverse(ext.sub(self.z, ext.embed(point))))

    def _expressed(self, width: int) -> Element:
        """Σ weight·digit over this row and the next."""
        first, second = weights(width)
        return ext.add(_dot(first, self.current), _dot(second, self.following))


def _quaternary(x: Element) -> Element:
    """x·(x - 1)·(x - 2)·(x - 3) = t·(t + 2) with t = x² - 3x. It is zero for digits 0 to 3."""
    t = ext.mul(x, _less(x, 3))
    return ext.mul(t, ext.add(t, ext.embed(2)))


def _less(x: Element, constant: int) -> Element:
    return ext.sub(x, ext.embed(constant))


def _dot(row: Sequence[int], digits: Sequence[Element]) -> Element:
    return ext.dot(ext.pack(digits[:WIDTH]), row)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProofRefused(Reason.INPUT, message)
