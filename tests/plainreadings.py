"""Readings proofs in plain Python: traces, honest or not, and the quotients of all constraints.

The quotients use the coefficient forms of section 19.5 where the verifier uses closed forms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from dragon.stark import field, seeds
from dragon.stark.airs.readings import COLUMNS, DIGIT_ROWS, READING_COLUMN, SUM_COLUMN, ReadingsAir
from dragon.stark.commitment import READING_OFFSET
from dragon.stark.field import P, root_of_unity
from dragon.stark.parameters import Lengths, Parameters
from dragon.stark.reading_bounds import RowPair, digits, weights
from plainprover import Prover
from plaintraces import M_INVERSE, Constraints, Row, blocks_rows, evaluate, interpolate, violated

Encoder = Callable[[int, int], RowPair]  # (number, width of the interval) -> two rows of digits


def prove_readings(
    air: ReadingsAir,
    parameters: Parameters,
    preimages: Sequence[Sequence[int]],
    rho: bytes,
    rows: Sequence[Row] | None = None,
    system: ReadingsSystem | None = None,
) -> bytes:
    """A readings proof of these rows, correct or not; by default those of an honest prover.

    `preimages` covers all blocks.
    """
    lengths = parameters.lengths(air.original_length, air.columns)
    encoded = field.encode(chain.from_iterable(preimages))
    seed = seeds.readings_zk_seed(air.channel_seed(parameters), rho, encoded)
    prover = Prover(air, parameters, seed, system or ReadingsSystem(air, lengths))
    return prover.prove(rows or ReadingsTrace(air, preimages).rows())


# -- traces --------------------------------------------------------------------------------------


@dataclass
class ReadingsTrace:
    """The rows of a readings proof (section 19.3). The optional members are for dishonest provers.

    `readings` and `first_readings` have one integer for each block: the reading, and what the row
    after the link shows in its place. Each encoder writes one kind of interval in digits.
    """

    air: ReadingsAir
    preimages: Sequence[Sequence[int]]
    readings: Sequence[int] | None = None
    first_readings: Sequence[int] | None = None
    encode_range: Encoder = digits
    encode_step: Encoder = digits
    encode_sum: Encoder = digits

    def rows(self) -> list[Row]:
        """The original rows, 14 cells each."""
        rows = [[*row, 0, 0] for row in blocks_rows(self.preimages)]
        shown = list(self.readings or committed_readings(self.air, self.preimages))
        first = list(self.first_readings or shown)
        for b, reading in enumerate(shown):
            self._show(rows[16 * b : 16 * b + 16], first[b], reading)
        for b in range(self.air.n_blocks):
            self._move(rows, b, shown[b - 1], first[b])
        self._add_up(rows, first)
        return rows

    def _show(self, block: list[Row], first: int, reading: int) -> None:
        """The reading on rows 1 to 15, and its range in digits."""
        bounds = self.air.bounds
        for row in block[2:]:
            row[READING_COLUMN] = reading % P
        block[1][READING_COLUMN] = first % P
        block[11][:12], block[12][:12] = self.encode_range(reading - bounds.low, bounds.width)

    def _move(self, rows: list[Row], b: int, before: int, after: int) -> None:
        """The step into block b: half on the row before the block, half on its first row."""
        bounds, half = self.air.bounds, 0
        if 2 <= b <= self.air.n_readings:
            step = self.encode_step(after - before - bounds.step_low, bounds.step_width)
            rows[16 * b - 1][:12], rows[16 * b][:12] = step
            half = dot(weights(bounds.step_width)[0], step[0])
        rows[16 * b][READING_COLUMN] = (before + bounds.step_low + half) % P

    def _add_up(self, rows: list[Row], readings: Sequence[int]) -> None:
        """The running sum, and the digits of the whole sum in the last block."""
        bounds, due = self.air.bounds, len(rows) - 3
        total = sum(readings[b] for b in summed_blocks(self.air))
        paid = self.encode_sum(total - bounds.sum_low, bounds.sum_width)
        rows[due][:12], rows[due + 1][:12] = paid
        running, added = 0, {16 * b: readings[b] for b in summed_blocks(self.air)}
        for r, row in enumerate(rows):
            row[SUM_COLUMN] = running % P
            running = 0 if r == due else running + added.get(r, 0)


def committed_readings(air: ReadingsAir, preimages: Sequence[Sequence[int]]) -> list[int]:
    """The reading of each block; in blocks of the identity it is `low`."""
    real = [preimage[7] - READING_OFFSET for preimage in preimages[1 : air.n_readings + 1]]
    return [air.bounds.low, *real, *[air.bounds.low] * (air.n_blocks - 1 - air.n_readings)]


def linked_blocks(air: ReadingsAir) -> range:
    """The blocks that have a reading."""
    return range(1, air.n_readings + 1)


def summed_blocks(air: ReadingsAir) -> range:
    """The blocks that have a reading in the sum."""
    return range(1 + air.carried, air.n_readings + 1)


def dot(of_weights: Sequence[int], cells: Sequence[int]) -> int:
    """Σ weight·cell over the columns that have weights."""
    return sum(a * b for a, b in zip(of_weights, cells, strict=False))


# -- constraints ---------------------------------------------------------------------------------


class ReadingsSystem:
    """All quotients c_k·num_k/den_k of the 38 constraints on the coset 3·⟨ω_4n⟩.

    The quotients of the constraints in `dropped` are zero: for a verifier that does not check them.
    """

    def __init__(self, air: ReadingsAir, lengths: Lengths, dropped: Iterable[int] = ()) -> None:
        self.air, self.lengths, self.dropped = air, lengths, frozenset(dropped)
        self.size = 4 * lengths.trace_length
        self.blocks = Constraints(air.blocks, lengths)
        self.points = self.blocks.points
        n_blocks, length = air.n_blocks, air.original_length
        self.linked = self._selector(linked_blocks(air), n_blocks)
        self.stepped = self._selector(linked_blocks(air)[1:], n_blocks)
        self.added = self._selector([16 * b for b in summed_blocks(air)], length)
        self.due = self._selector([length - 3], length)
        self.first = self._over([0])
        self.digit_rows = self._over(DIGIT_ROWS)
        self.within_block = self._over(range(1, 15))
        self.range_row, self.step_row = self._over([11]), self._over([15])
        self.every_row = field.batch_inverse([pow(x, length, P) - 1 for x in self.points])

    def _selector(self, chosen: Iterable[int], count: int) -> list[int]:
        """The polynomial of degree < count that is 1 at the chosen powers of ω_count, else 0."""
        values = [0] * count
        for i in chosen:
            values[i] = 1
        return evaluate(interpolate(values), self.size)

    def _over(self, rows: Iterable[int]) -> list[int]:
        """1/∏(y - ω_16^r)."""
        roots = [pow(root_of_unity(16), r, P) for r in rows]
        products = []
        for x in self.points:
            y, product = pow(x, self.air.n_blocks, P), 1
            for root in roots:
                product = product * (y - root) % P
            products.append(product)
        return field.batch_inverse(products)

    def quotients(self, columns: Sequence[Sequence[int]]) -> list[list[int]]:
        """All quotients at each point, in natural order. `columns` is the trace at these points."""
        step = 4 * self.lengths.slackness
        table = list(zip(*columns[:COLUMNS], strict=True))
        of_blocks = self.blocks.quotients(columns[:12])
        result = []
        for i in range(self.size):
            own = self.own(i, table[i], table[(i + step) % self.size])
            both = [*of_blocks[i], *own]
            result.append([0 if k in self.dropped else q % P for k, q in enumerate(both)])
        return result

    def own(self, i: int, current: Row, following: Row) -> list[int]:
        """The quotients of constraints 20 to 37 at one point."""
        bounds, bit = self.air.bounds, current[11]
        reading, next_reading = current[READING_COLUMN], following[READING_COLUMN]
        in_range, in_step = weights(bounds.width), weights(bounds.step_width)
        move = next_reading - reading
        above_low = reading - bounds.low - expressed(in_range, current, following)
        first_half = move - bounds.step_low - dot(in_step[0], current)
        second_half = move - dot(in_step[1], current)
        link = self._limb(i, following) - READING_OFFSET - next_reading
        return [
            *[d * (d - 1) * (d - 2) * (d - 3) * self.digit_rows[i] for d in current[:11]],
            bit * (bit - 1) * self.digit_rows[i],
            self.linked[i] * link * self.first[i],
            move * self.within_block[i],
            above_low * self.range_row[i],
            first_half * self.step_row[i],
            self.stepped[i] * second_half * self.first[i],
            self._total(i, current, following) * self.every_row[i],
        ]

    def _limb(self, i: int, following: Row) -> int:
        """B_7 - even_7, which is w_7 of the block that begins on this row."""
        shifted = [x - odd[i] for x, odd in zip(following[:12], self.blocks.odd, strict=True)]
        return pow(dot(M_INVERSE[7], shifted), 3, P) - self.blocks.even[7][i]

    def _total(self, i: int, current: Row, following: Row) -> int:
        bounds = self.air.bounds
        paid = bounds.sum_low + expressed(weights(bounds.sum_width), current, following)
        grown = following[SUM_COLUMN] - current[SUM_COLUMN]
        return grown - self.added[i] * following[READING_COLUMN] + self.due[i] * paid

    def violated(self, rows: Sequence[Row]) -> set[int]:
        """The constraints that these rows violate."""
        exponents = self.air.exponents(self.lengths)
        return violated(self.quotients, exponents, self.lengths, rows)


def expressed(of_weights: RowPair, current: Row, following: Row) -> int:
    """Σ weight·digit over two adjacent rows."""
    return dot(of_weights[0], current) + dot(of_weights[1], following)
