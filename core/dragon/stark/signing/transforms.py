"""Interpolation and evaluation of short polynomials over F, in natural order."""

from __future__ import annotations

from collections.abc import Sequence

from dragon.stark import field
from dragon.stark.field import GENERATOR, P


def evaluate(coefficients: Sequence[int], size: int) -> list[int]:
    """The values on the coset 3·⟨ω_size⟩, in natural order."""
    scale = field.powers(GENERATOR, len(coefficients))
    scaled = [c * power % P for c, power in zip(coefficients, scale, strict=True)]
    return _transform([*scaled, *[0] * (size - len(scaled))], field.root_of_unity(size))


def interpolate(values: Sequence[int], offset: int = 1) -> list[int]:
    """The coefficients of the polynomial with these values on offset·⟨ω⟩, in natural order."""
    size = len(values)
    found = _transform(values, field.inverse(field.root_of_unity(size)))
    scale = field.powers(field.inverse(offset), size)
    share = field.inverse(size)
    return [c * share % P * power % P for c, power in zip(found, scale, strict=True)]


def _transform(values: Sequence[int], root: int) -> list[int]:
    """Σ_j values_j·root^(ij) for every i. The order of `root` is the length, a power of two."""
    half = len(values) // 2
    return _transform_by(values, field.powers(root, half)) if half else list(values)


def _transform_by(values: Sequence[int], powers: Sequence[int]) -> list[int]:
    """The transform by a root, given its powers below half the length."""
    if len(values) == 2:
        a, b = values
        return [(a + b) % P, (a - b) % P]
    even = _transform_by(values[::2], powers[::2])
    odd = _transform_by(values[1::2], powers[::2])
    turned = [b * power % P for b, power in zip(odd, powers, strict=True)]
    low = [(a + b) % P for a, b in zip(even, turned, strict=True)]
    return low + [(a - b) % P for a, b in zip(even, turned, strict=True)]
