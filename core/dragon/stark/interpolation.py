"""Evaluate polynomials that are given by their values on a subgroup, at a point of K."""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul as times

from dragon.stark import compiled, field
from dragon.stark import extension as ext
from dragon.stark.extension import Element
from dragon.stark.field import P
from dragon.stark.parameters import Lengths
from dragon.stark.reciprocals import Reciprocals


def interpolants_at(columns: Sequence[Sequence[int]], u: Element) -> list[Element]:
    """For each column, the value at u of the polynomial of degree < m that it determines.

    Entry b of a column is the value at ω_m^b; m, the number of entries, is a power of two. The
    barycentric form I(u) = (u^m - 1)/m · Σ_b v_b·ω^b/(u - ω^b) costs three sums over F per column.

    Raises ZeroDivisionError: u lies in the subgroup.
    """
    if functions := compiled.in_use():
        return functions.interpolants_at(columns, u)
    return plain_interpolants_at(columns, u)


def plain_interpolants_at(columns: Sequence[Sequence[int]], u: Element) -> list[Element]:
    """`interpolants_at` with nothing but the standard library."""
    m = len(columns[0])
    points = field.powers(field.root_of_unity(m), m)
    reciprocals = Reciprocals(u)
    weights = [
        norm_inverse * point % P
        for norm_inverse, point in zip(reciprocals.norm_inverses(points), points, strict=True)
    ]
    linear = [w * a % P for w, a in zip(weights, points, strict=True)]
    square = [w * a % P for w, a in zip(linear, points, strict=True)]
    vanishing = ext.sub(ext.power(u, m), ext.ONE)
    factor = ext.scale(vanishing, field.inverse(m))

    values = []
    for column in columns:
        s0, s1, s2 = (sum(map(times, column, each)) % P for each in (weights, linear, square))
        constant = ext.sub(ext.scale(reciprocals.product, s0), ext.scale(reciprocals.total, s1))
        values.append(ext.mul(factor, ext.add(constant, ext.embed(s2))))
    return values


def periodic_at(columns: Sequence[Sequence[int]], z: Element, lengths: Lengths) -> list[Element]:
    """Periodic columns at z: T values each, zero on the slack rows (section 5.3).

    P(x) = (x^n - 1)/(s·(x^L - 1)) · I(x^(L/T)), where I interpolates the T values.

    Raises ZeroDivisionError: z lies in the subgroup of order L.
    """
    n, original = lengths.trace_length, lengths.original_length
    y = ext.power(z, original // len(columns[0]))
    whole = ext.sub(ext.power(z, n), ext.ONE)
    rows = ext.sub(ext.power(z, original), ext.ONE)
    factor = ext.mul(whole, ext.inverse(ext.scale(rows, lengths.slackness)))
    return [ext.mul(factor, value) for value in interpolants_at(columns, y)]
