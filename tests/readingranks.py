"""How much of the randomness of a readings trace a verifier sees, as a rank (section 19.13)."""

from __future__ import annotations

from collections.abc import Sequence

from dragon.stark import extension as ext
from dragon.stark.airs.readings import READING_COLUMN, SUM_COLUMN, ReadingsAir
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.parameters import Lengths
from dragon.stark.reading_bounds import RowPair, weights
from plainreadings import ReadingsSystem
from plaintraces import M_INVERSE, Row
from ranks import Vector, View


class ReadingsView(View):
    """The view of a verifier on the fourteen columns of a readings proof."""

    def __init__(
        self,
        air: ReadingsAir,
        rows: Sequence[Row],
        preimages: Sequence[Sequence[int]],
        lengths: Lengths,
        noise: Sequence[int],
        points: Sequence[int],
        z: Element,
        alphas: Sequence[Element],
    ) -> None:
        self.statement, self.system = air, ReadingsSystem(air, lengths)
        super().__init__(air.blocks, rows, preimages, lengths, noise, points, z, alphas)

    def exponents(self) -> Sequence[int]:
        return self.statement.exponents(self.lengths)

    def free_limbs(self, block: int) -> range:
        """The reading of a chunk is kept."""
        return range(7) if 1 <= block <= self.statement.n_readings else range(8)

    def constant_of_sums(self) -> Vector:
        """The derivative of the view by a constant that is added to the running sum."""
        every_row = [int(t % self.lengths.slackness == 0) for t in range(self.lengths.trace_length)]
        return self.change({SUM_COLUMN: self.extended(every_row)})

    def _partials(
        self, i: int, x: int, of_terms: Sequence[Element], current: Row, following: Row
    ) -> tuple[list[Element], list[Element]]:
        by_current, by_next = super()._partials(i, x, of_terms, current, following)
        by_current += [ext.ZERO] * 2
        by_next += [ext.ZERO] * 2
        for k, j, slope in self.current_slopes(i, current):
            by_current[j] = ext.add(by_current[j], ext.scale(of_terms[k], slope))
        for k, j, slope in self.next_slopes(i, following):
            by_next[j] = ext.add(by_next[j], ext.scale(of_terms[k], slope))
        return by_current, by_next

    def current_slopes(self, i: int, current: Row) -> list[tuple[int, int, int]]:
        """The non-zero ∂quotient_k/∂cur_j of constraints 20 to 37 at point i, as (k, j, slope)."""
        own, (in_range, in_step, in_sum) = self.system, self._weights()
        quads = [
            (20 + j, j, (4 * c**3 - 18 * c**2 + 22 * c - 6) * own.digit_rows[i])
            for j, c in enumerate(current[:11])
        ]
        return [
            *quads,
            (31, 11, (2 * current[11] - 1) * own.digit_rows[i]),
            (33, READING_COLUMN, -own.within_block[i]),
            (34, READING_COLUMN, own.range_row[i]),
            (35, READING_COLUMN, -own.step_row[i]),
            (36, READING_COLUMN, -own.stepped[i] * own.first[i]),
            (37, SUM_COLUMN, -own.every_row[i]),
            *[(34, j, -a * own.range_row[i]) for j, a in enumerate(in_range[0])],
            *[(35, j, -a * own.step_row[i]) for j, a in enumerate(in_step[0])],
            *[(36, j, -a * own.stepped[i] * own.first[i]) for j, a in enumerate(in_step[1])],
            *[(37, j, a * own.due[i] * own.every_row[i]) for j, a in enumerate(in_sum[0])],
        ]

    def next_slopes(self, i: int, following: Row) -> list[tuple[int, int, int]]:
        """The non-zero ∂quotient_k/∂nxt_j of constraints 20 to 37 at point i, as (k, j, slope)."""
        own, (in_range, _, in_sum) = self.system, self._weights()
        link = own.linked[i] * own.first[i] % P
        limb = self.slopes(i, following)[7]
        return [
            *[(32, j, link * limb * a) for j, a in enumerate(M_INVERSE[7])],
            (32, READING_COLUMN, -link),
            (33, READING_COLUMN, own.within_block[i]),
            (35, READING_COLUMN, own.step_row[i]),
            (36, READING_COLUMN, own.stepped[i] * own.first[i]),
            (37, READING_COLUMN, -own.added[i] * own.every_row[i]),
            (37, SUM_COLUMN, own.every_row[i]),
            *[(34, j, -a * own.range_row[i]) for j, a in enumerate(in_range[1])],
            *[(37, j, a * own.due[i] * own.every_row[i]) for j, a in enumerate(in_sum[1])],
        ]

    def _weights(self) -> tuple[RowPair, RowPair, RowPair]:
        bounds = self.statement.bounds
        return weights(bounds.width), weights(bounds.step_width), weights(bounds.sum_width)
