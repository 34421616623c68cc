"""Addition in G1 without exceptions: equal points, opposite points and infinity need no branch.

(X, Y, Z) stands for the affine point (X/Z, Y/Z), and (0, 1, 0) for infinity. The plain code adds
with fewer multiplications, and decides between the cases; the compiled code cannot decide.

Source: Renes, Costello and Batina, "Complete Addition Formulas for Prime Order Elliptic Curves",
EUROCRYPT 2016, algorithms 7 and 9, with b = 3.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from dragon_sequencer.tower import P

Projective: TypeAlias = tuple[int, int, int]
INFINITY: Final[Projective] = (0, 1, 0)


def add(one: Projective, other: Projective) -> Projective:
    """The sum of two points of the curve."""
    (x1, y1, z1), (x2, y2, z2) = one, other
    xx, yy, zz = x1 * x2 % P, y1 * y2 % P, z1 * z2 % P
    xy = ((x1 + y1) * (x2 + y2) - xx - yy) % P
    yz = ((y1 + z1) * (y2 + z2) - yy - zz) % P
    xz = ((x1 + z1) * (x2 + z2) - xx - zz) % P
    more, less = (yy + 9 * zz) % P, (yy - 9 * zz) % P
    return (
        (xy * less - 9 * (yz * xz)) % P,
        (less * more + 27 * (xx * xz)) % P,
        (yz * more + 3 * (xx * xy)) % P,
    )


def double(point: Projective) -> Projective:
    """2·point, for a point of the curve."""
    x, y, z = point
    yy, yz, zz = y * y % P, y * z % P, 9 * (z * z) % P
    less = (yy - 3 * zz) % P
    return (
        2 * (x * y) * less % P,
        (less * (yy + zz) + 8 * (yy * zz)) % P,
        8 * (yy * yz) % P,
    )


def affine(point: Projective) -> tuple[int, int, int]:
    """x and y, and a number that is 0 for infinity. Of infinity, x and y mean nothing."""
    x, y, z = point
    inverse = pow(z, P - 2, P)  # 0 for 0
    return x * inverse % P, y * inverse % P, z
