"""Out-of-domain values, and the values of the DEEP polynomial (section 8.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from dragon.stark import extension as ext
from dragon.stark.extension import Element
from dragon.stark.field import GENERATOR, P, inverse
from dragon.stark.parameters import DEGREE_FACTOR, Lengths
from dragon.stark.prover.kernels import deep, polynomials
from dragon.stark.prover.kernels.formulas import LANES
from dragon.stark.prover.kernels.jit import Indices, Words
from dragon.stark.prover.montgomery import integers, roots, word, words
from dragon.stark.prover.threads import ThreadTeam

Mask = Sequence[tuple[int, int]]
_MIN_COEFFICIENTS_PER_THREAD: Final = 1 << 14  # less work is not split
_MIN_VECTORS_PER_THREAD: Final = 64  # vectors of rows: less work is not split


@dataclass(frozen=True, slots=True)
class Plan:
    """The DEEP constraints of a mask, grouped by point, in the form that `kernels.deep` expects."""

    points: tuple[tuple[int, bool], ...]  # for each group: row of the mask, whether conjugate
    terms: Indices
    spans: Indices


@lru_cache(maxsize=32)
def plan(mask: tuple[tuple[int, int], ...], air_columns: int, columns: int) -> Plan:
    """Group the constraints. Their order is that of section 8.1."""
    points: list[tuple[int, bool]] = []
    terms: list[int] = []
    seen: set[int] = set()
    for value, (row, column) in enumerate(mask):
        for conjugate in (False, True):
            if conjugate and column in seen:
                continue
            if (row, conjugate) not in points:
                points.append((row, conjugate))
            group = points.index((row, conjugate))
            terms += [group, column, 1, value, int(conjugate)]
        seen.add(column)
    for b in range(DEGREE_FACTOR):
        terms += [len(points), 3 * b, 3, len(mask) + b, 0]
    spans = [0, air_columns] * len(points) + [columns, 3 * DEGREE_FACTOR]
    return Plan(tuple(points), np.array(terms), np.array(spans))


def mask_point(z: Element, row: int, lengths: Lengths) -> Element:
    """z·h^row, the point at which this row of the mask is evaluated."""
    return ext.scale(z, pow(lengths.row_generator, row, P))


def values_at(
    coefficients: Words, length: int, columns: int, point: Element, team: ThreadTeam
) -> Words:
    """The values of the first `columns` columns at a point of K, three numbers each.

    `coefficients` holds coefficient i times 3^i.
    """
    values = np.empty(3 * columns, dtype=np.uint64)
    scaled = words(ext.scale(point, inverse(GENERATOR)))

    def work(first: int, last: int) -> None:
        polynomials.values_at(coefficients, length, scaled, values, first, last)

    team.share(work, columns, -(-_MIN_COEFFICIENTS_PER_THREAD // length))
    return values


def composition_values(coefficients: Words, length: int, z: Element, team: ThreadTeam) -> Words:
    """h_0(z^4) … h_3(z^4): the three columns of each, weighted with 1, φ and φ²."""
    point = ext.power(z, DEGREE_FACTOR)
    columns = values_at(coefficients, length, 3 * DEGREE_FACTOR, point, team)
    result: list[int] = []
    for part in np.split(columns, DEGREE_FACTOR):
        a, b, c, d, e, f, g, h, i = integers(part)
        tail = ext.add((d, e, f), ext.mul(ext.PHI, (g, h, i)))
        result += ext.add((a, b, c), ext.mul(ext.PHI, tail))
    return words(result)


def deep_values(
    trace: Words, composition: Words, z: Element, mask: Mask, lengths: Lengths, deltas: Words,
    values: Words, team: ThreadTeam,
) -> Words:  # fmt: skip
    """d on the coset 3·⟨g⟩ (the first n rows of both tables), as three columns."""
    grouped = plan(tuple(mask), lengths.air_columns, lengths.columns)
    group_points = []
    for row, conjugate in grouped.points:
        point = mask_point(z, row, lengths)
        group_points.append(ext.conjugate(point) if conjugate else point)
    group_points.append(ext.power(z, DEGREE_FACTOR))

    table = np.empty(3 * int(grouped.spans[1::2].sum()), dtype=np.uint64)
    geometry = np.empty(deep.GEOMETRY * len(group_points), dtype=np.uint64)
    coordinates = words(c for point in group_points for c in point)
    deep.deep_terms(grouped.terms, deltas, values, grouped.spans, coordinates, table, geometry)

    n = lengths.trace_length
    result = np.empty(3 * n, dtype=np.uint64)
    forward = roots(n)

    def work(first: int, last: int) -> None:
        deep.deep(
            trace, lengths.columns, composition, 3 * DEGREE_FACTOR, lengths.domain_size,
            lengths.blinding_columns, table, grouped.spans, geometry, forward, word(GENERATOR),
            result, first, last,
        )  # fmt: skip

    team.share(work, n // LANES, _MIN_VECTORS_PER_THREAD)
    return result
