"""Sums of multiples of points: Σ kᵢ·Pᵢ, in half the time of separate multiplications.

All points share the doublings (interleaving), and the factors have few digits that are not 0
(width-4 non-adjacent form). Not in constant time, so never for secret factors. Source: Möller,
"Algorithms for Multi-exponentiation", SAC 2001, section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pyblst import BlstP2Element

WIDTH: Final = 4  # bits of a digit: it is 0, or odd between -8 and 8
MIN_POINTS: Final = 4  # fewer are faster to multiply one by one

IDENTITY: Final = BlstP2Element.uncompress(b"\xc0".ljust(96, b"\x00"))


def weighted_sum(points: Sequence[BlstP2Element], factors: Sequence[int]) -> BlstP2Element:
    """Return the sum of the points, each multiplied by its factor, which is not negative."""
    if len(points) < MIN_POINTS:
        products = (point.scalar_mul(factor) for point, factor in zip(points, factors, strict=True))
        return sum(products, start=IDENTITY)
    summands: list[list[BlstP2Element]] = [
        [] for _ in range(max(factors).bit_length() + 1)
    ]  # at each position, least significant first
    for point, factor in zip(points, factors, strict=True):
        multiples = _odd_multiples(point)
        for position, digit in _digits(factor):
            multiple = multiples[abs(digit) // 2]
            summands[position].append(multiple if digit > 0 else -multiple)
    total = IDENTITY
    for at_position in reversed(summands):
        total = sum(at_position, start=total + total)
    return total


def _odd_multiples(point: BlstP2Element) -> list[BlstP2Element]:
    """Return P, 3P, 5P and 7P."""
    double, multiples = point + point, [point]
    for _ in range(2 ** (WIDTH - 2) - 1):
        multiples.append(multiples[-1] + double)
    return multiples


def _digits(factor: int) -> Iterator[tuple[int, int]]:
    """Return the positions and digits whose sum Σ digit·2^position is the factor, without zeros."""
    position = 0
    while factor:
        if factor % 2:
            digit = factor % 2**WIDTH
            digit -= 2**WIDTH if digit > 2 ** (WIDTH - 1) else 0
            yield position, digit
            factor -= digit
        factor, position = factor // 2, position + 1
