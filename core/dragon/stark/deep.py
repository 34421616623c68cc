"""The DEEP polynomial: all out-of-domain openings as one low-degree test (section 8.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dragon.stark import extension as ext
from dragon.stark import field
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.parameters import Lengths
from dragon.stark.reciprocals import Reciprocals


@dataclass(frozen=True, slots=True)
class Boundary:
    """The claim that a column has a value at a point. Column W + b stands for h_b."""

    column: int
    point: Element
    value: Element


def boundaries(
    z: Element,
    mask: Sequence[tuple[int, int]],
    mask_values: Sequence[Element],
    composition_values: Sequence[Element],
    lengths: Lengths,
) -> list[Boundary]:
    """The boundary constraints, in the order of their coefficients δ.

    The first constraint of each trace column is followed by its conjugate. The conjugate forces the
    polynomial to have its coefficients in F.
    """
    result: list[Boundary] = []
    seen: set[int] = set()
    for (row, column), value in zip(mask, mask_values, strict=True):
        point = ext.scale(z, pow(lengths.row_generator, row, P))
        result.append(Boundary(column, point, value))
        if column not in seen:
            seen.add(column)
            result.append(Boundary(column, ext.conjugate(point), ext.conjugate(value)))
    point = ext.power(z, len(composition_values))
    for b, value in enumerate(composition_values):
        result.append(Boundary(lengths.columns + b, point, value))
    return result


class DeepPolynomial:
    """d(x) = Σ δ_i·(v_i(x) - value_i)/(x - point_i), plus the blinding columns.

    See sections 8.1 and 18.4. Terms with the same point share their denominator. All terms are
    linear over F in the opened words (h_b in its three coordinates), so one row costs one dot
    product for each point.
    """

    def __init__(
        self, constraints: Sequence[Boundary], coefficients: Sequence[Element], lengths: Lengths
    ) -> None:
        self.groups: dict[Element, Group] = {}  # by their point
        self._air_columns, self._columns = lengths.air_columns, lengths.columns
        width = lengths.columns + 3 * (1 + max(c.column for c in constraints) - lengths.columns)
        for constraint, coefficient in zip(constraints, coefficients, strict=True):
            group = self.groups.setdefault(constraint.point, Group(width))
            group.add(constraint, coefficient, lengths.columns)

    def at(self, points: Sequence[int], rows: Sequence[Sequence[int]]) -> list[Element]:
        """d(x) at each x of `points`.

        `rows` holds the opened words at these points: the trace row, then the composition row with
        three coordinates for each h_b.

        Raises ZeroDivisionError: an x is the point of a constraint.
        """
        values = [self._blinding(row) for row in rows]
        for point, group in self.groups.items():
            reciprocals = Reciprocals(point)
            packed, constant = ext.pack(group.weights), group.constant
            inverses = reciprocals.norm_inverses(points)
            for i, (x, row) in enumerate(zip(points, rows, strict=True)):
                # -(numerator)/(point - x): `Reciprocals` divides by point - x.
                numerator = ext.sub(constant, ext.dot(packed, row))
                term = ext.mul(numerator, reciprocals.cofactor(x))
                values[i] = ext.add(values[i], ext.scale(term, inverses[i]))
        return values

    def _blinding(self, row: Sequence[int]) -> Element:
        """f_12 + φ·f_13 + φ²·f_14; missing blinding columns count as zero."""
        c0, c1, c2 = (*row[self._air_columns : self._columns], 0, 0, 0)[:3]
        return c0, c1, c2


class Group:
    """The terms that share a point: numerator Σ weights·words - constant."""

    def __init__(self, width: int) -> None:
        self.weights = [ext.ZERO] * width
        self.constant = ext.ZERO

    def add(self, constraint: Boundary, coefficient: Element, trace_columns: int) -> None:
        self.constant = ext.add(self.constant, ext.mul(coefficient, constraint.value))
        if constraint.column < trace_columns:
            self._weigh(constraint.column, coefficient)
            return
        first = trace_columns + 3 * (constraint.column - trace_columns)
        for k in range(3):
            self._weigh(first + k, coefficient)
            coefficient = ext.mul(coefficient, ext.PHI)

    def _weigh(self, word: int, coefficient: Element) -> None:
        self.weights[word] = ext.add(self.weights[word], coefficient)


def domain_points(rows: Sequence[int], lengths: Lengths) -> list[int]:
    """The points x_r = 3·w^rev(r) of these rows of the evaluation domain (section 6)."""
    bits, w = field.log2(lengths.domain_size), field.root_of_unity(lengths.domain_size)
    return [field.GENERATOR * pow(w, field.bit_reverse(r, bits), P) % P for r in rows]
