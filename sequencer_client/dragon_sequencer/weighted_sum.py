"""Σ factor·point in G1, with the doublings of all points done once.

Sources: Straus, "Addition Chains of Vectors", Amer. Math. Monthly 1964 (shared doublings, windows
of four bits); the formulas add-2007-bl and dbl-2009-l of the Explicit-Formulas Database for
Jacobian coordinates, in which (X, Y, Z) stands for the affine point (X/Z², Y/Z³).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dragon_sequencer import compiled
from dragon_sequencer.bn254 import G1
from dragon_sequencer.multiples import Jacobian1 as Jacobian
from dragon_sequencer.multiples import affine_g1, double_g1
from dragon_sequencer.tower import P

WINDOW: Final = 4  # bits


def weighted_sum(points: Sequence[G1], factors: Sequence[int]) -> G1 | None:
    """Return Σ factors[k]·points[k]; None means infinity.

    Args:
        points: of the curve, not infinity.
        factors: one for each point, not negative. Their length determines the time.

    Raises ValueError: the numbers of points and factors differ.
    """
    if len(points) != len(factors):
        raise ValueError("there must be one factor for each point")
    if factors and min(factors) < 0:
        raise ValueError("a factor must not be negative")
    functions = compiled.in_use()
    return (functions.weighted_sum if functions else weighted_sum_plain)(points, factors)


def weighted_sum_plain(points: Sequence[G1], factors: Sequence[int]) -> G1 | None:
    """`weighted_sum` in plain integers, of arguments that are checked."""
    tables = [_multiples((x, y, 1)) for x, y in points]
    bits = max((factor.bit_length() for factor in factors), default=0)
    total: Jacobian | None = None
    for shift in range(-(-bits // WINDOW) * WINDOW - WINDOW, -1, -WINDOW):
        for _ in range(WINDOW):
            total = double_g1(total)
        for table, factor in zip(tables, factors, strict=True):
            total = _add(total, table[factor >> shift & (1 << WINDOW) - 1])
    return affine_g1(total)


def _multiples(point: Jacobian) -> list[Jacobian | None]:
    """The point times 0 to 15."""
    found: list[Jacobian | None] = [None, point]
    while len(found) < 1 << WINDOW:
        found.append(_add(found[-1], point))
    return found


def _add(one: Jacobian | None, other: Jacobian | None) -> Jacobian | None:
    if one is None or other is None:
        return one or other
    (x1, y1, z1), (x2, y2, z2) = one, other
    zz1, zz2 = z1 * z1 % P, z2 * z2 % P
    u1, s1 = x1 * zz2 % P, y1 * z2 * zz2 % P
    run, rise = (x2 * zz1 - u1) % P, (y2 * z1 * zz1 - s1) % P
    if not run:
        return None if rise else double_g1(one)
    square = run * run % P
    cube, v = run * square % P, u1 * square % P
    x3 = (rise * rise - cube - 2 * v) % P
    return x3, (rise * (v - x3) - s1 * cube) % P, z1 * z2 * run % P
