"""One round of Rescue between the middles of two rounds (sections 5.2, 5.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dragon.stark import extension as ext
from dragon.stark.extension import Element
from dragon.stark.rescue import WIDTH, Matrix, mds_matrix, mds_matrix_inverse

# All columns of this row and of the next.
MASK: Final = tuple((row, column) for row in (0, 1) for column in range(WIDTH))


def ends_of_rounds(current: Sequence[Element], even: Sequence[Element]) -> list[Element]:
    """A: the state at the end of a round, from its middle, which is the current row."""
    cubes = [_cube(x) for x in current]
    return [ext.add(a, b) for a, b in zip(_product(mds_matrix(), cubes), even, strict=True)]


def starts_of_rounds(following: Sequence[Element], odd: Sequence[Element]) -> list[Element]:
    """B: the state before a round, from its middle, which is the next row."""
    shifted = [ext.sub(x, constant) for x, constant in zip(following, odd, strict=True)]
    return [_cube(x) for x in _product(mds_matrix_inverse(), shifted)]


def differences(left: Sequence[Element], right: Sequence[Element]) -> list[Element]:
    """left_i - right_i for each i."""
    return [ext.sub(a, b) for a, b in zip(left, right, strict=True)]


def _cube(x: Element) -> Element:
    return ext.mul(ext.mul(x, x), x)


def _product(matrix: Matrix, vector: Sequence[Element]) -> list[Element]:
    packed = ext.pack(vector)
    return [ext.dot(packed, row) for row in matrix]
