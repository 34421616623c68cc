"""Multiples of points of BN254 in Jacobian coordinates: one inversion for a whole multiplication.

(X, Y, Z) stands for the affine point (X/Z², Y/Z³), and None for infinity. Doubling is "dbl-2009-l"
and addition "madd" of the Explicit-Formulas Database (Bernstein and Lange), for curves with a = 0.
"""

from __future__ import annotations

from typing import TypeAlias

from dragon_sequencer import tower
from dragon_sequencer.tower import F2, P

Jacobian1: TypeAlias = tuple[int, int, int]
_Jacobian2: TypeAlias = tuple[F2, F2, F2]


def multiple_g1(point: tuple[int, int], factor: int) -> tuple[int, int] | None:
    """Multiply an affine point of y² = x³ + 3 over F_p by a factor of at least 0."""
    found: Jacobian1 | None = None
    for bit in bin(factor)[2:]:
        found = double_g1(found)
        if bit == "1":
            found = _add_1(found, point)
    return affine_g1(found)


def affine_g1(point: Jacobian1 | None) -> tuple[int, int] | None:
    """The affine form of a point."""
    if point is None:
        return None
    x, y, z = point
    inverse = pow(z, -1, P)
    square = inverse * inverse % P
    return x * square % P, y * square * inverse % P


def double_g1(point: Jacobian1 | None) -> Jacobian1 | None:
    """2·point."""
    if point is None or point[1] == 0:
        return None
    x, y, z = point
    a, b = x * x, y * y % P
    d, e = 4 * x * b, 3 * a % P
    x3 = (e * e - 2 * d) % P
    return x3, (e * (d - x3) - 8 * b * b) % P, 2 * y * z % P


def _add_1(point: Jacobian1 | None, other: tuple[int, int]) -> Jacobian1 | None:
    """Add an affine point."""
    if point is None:
        return (*other, 1)
    x, y, z = point
    square = z * z % P
    h = (other[0] * square - x) % P
    r = (other[1] * square * z - y) % P
    if h == 0:
        return double_g1(point) if r == 0 else None
    hh = h * h % P
    hhh, v = h * hh % P, x * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y * hhh) % P, z * h % P


def multiple_g2(point: tuple[F2, F2], factor: int) -> tuple[F2, F2] | None:
    """Multiply an affine point of the twist by a factor of at least 0. Any order is allowed."""
    found: _Jacobian2 | None = None
    for bit in bin(factor)[2:]:
        found = _double_2(found)
        if bit == "1":
            found = _add_2(found, point)
    if found is None:
        return None
    x, y, z = found
    inverse = tower.invert_2(z)
    square = tower.square_2(inverse)
    return (
        tower.multiply_2(x, square),
        tower.multiply_2(y, tower.multiply_2(square, inverse)),
    )


def _double_2(point: _Jacobian2 | None) -> _Jacobian2 | None:
    if point is None or point[1] == (0, 0):
        return None
    x, y, z = point
    b = tower.square_2(y)
    d = tower.scale_2(tower.multiply_2(x, b), 4)
    e = tower.scale_2(tower.square_2(x), 3)
    x3 = tower.subtract_2(tower.square_2(e), tower.scale_2(d, 2))
    y3 = tower.subtract_2(
        tower.multiply_2(e, tower.subtract_2(d, x3)), tower.scale_2(tower.square_2(b), 8)
    )
    return x3, y3, tower.scale_2(tower.multiply_2(y, z), 2)


def _add_2(point: _Jacobian2 | None, other: tuple[F2, F2]) -> _Jacobian2 | None:
    """Add an affine point."""
    if point is None:
        return (*other, (1, 0))
    x, y, z = point
    square = tower.square_2(z)
    h = tower.subtract_2(tower.multiply_2(other[0], square), x)
    r = tower.subtract_2(tower.multiply_2(other[1], tower.multiply_2(square, z)), y)
    if h == (0, 0):
        return _double_2(point) if r == (0, 0) else None
    hh = tower.square_2(h)
    hhh, v = tower.multiply_2(h, hh), tower.multiply_2(x, hh)
    x3 = tower.subtract_2(tower.square_2(r), tower.add_2(hhh, tower.scale_2(v, 2)))
    y3 = tower.subtract_2(tower.multiply_2(r, tower.subtract_2(v, x3)), tower.multiply_2(y, hhh))
    return x3, y3, tower.multiply_2(z, h)
