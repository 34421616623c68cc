"""A key must be in G2. The quick check is compared with multiplication by r, which defines G2."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Final

import pytest

from dragon_sequencer import bn254, tower
from dragon_sequencer.bn254 import G2, U
from dragon_sequencer.tower import P, R

COFACTOR: Final = 2 * P - R  # the twist has r times as many points
PRIMES: Final = (
    10069,
    5864401,
    1875725156269,
    197620364512881247228717050342013327560683201906968909,
)

pytestmark = pytest.mark.usefixtures("computed_anew")


def twist_points() -> Iterator[G2]:
    """Points of the twist, of large orders."""
    for x0 in itertools.count(1):
        x = (x0, 1)
        right = tower.add_2(tower.multiply_2(tower.square_2(x), x), bn254._TWIST_B)
        root = tower.power_2(right, (P**2 + 15) // 32)
        for exponent in range(16):
            unit = tower.power_2(tower.XI, exponent * ((P**2 - 1) // 16))
            y = tower.multiply_2(root, unit)
            if tower.square_2(y) == right:
                yield x, y
                break


POINTS: Final = list(itertools.islice(twist_points(), 4))


def multiplied(point: G2, factor: int) -> G2:
    found = bn254.multiply_g2(point, factor)
    assert found is not None
    return found


def has_order_r(point: G2) -> bool:
    return bn254.multiply_g2(point, R) is None


def test_the_equation_holds_for_no_point_outside_g2():
    """ψ² − tψ + p = 0 on the twist, with the trace t = 6u² + 1. Modulo that, the equation is
    (a + bψ)·Q = 0; then the norm a² + abt + b²p multiplies Q to infinity too. The order of Q
    divides the norm and the number of points, which have only r in common."""
    trace = 6 * U**2 + 1
    coefficients = [U + 1, U, U, -2 * U]
    while len(coefficients) > 2:
        leading = coefficients.pop()
        coefficients[-1] += trace * leading
        coefficients[-2] -= P * leading
    a, b = coefficients
    norm = a * a + a * b * trace + b * b * P

    assert math.prod(PRIMES) == COFACTOR
    assert math.gcd(norm, R * COFACTOR) == R


@pytest.mark.parametrize("point", POINTS)
def test_the_number_of_points_and_the_equation_of_the_frobenius_map(point):
    trace = 6 * U**2 + 1
    once = bn254.frobenius_g2(point)
    twice = bn254.frobenius_g2(once)

    assert bn254.multiply_g2(point, R * COFACTOR) is None
    assert bn254.add_g2(twice, multiplied(point, P)) == multiplied(once, trace)


@pytest.mark.parametrize("secret", [1, 2, 3, U, U + 1, 0xD0C5_1234_5678, R // 2, R - 2, R - 1])
def test_keys_are_in_g2(secret):
    key = bn254.public_key(secret)

    assert has_order_r(key)
    assert bn254.is_in_g2(key)


@pytest.mark.parametrize("point", POINTS)
def test_other_points_of_the_twist_are_not_in_g2(point):
    assert bn254.is_on_twist(point)
    assert not has_order_r(point)
    assert not bn254.is_in_g2(point)
    assert bn254.is_in_g2(multiplied(point, COFACTOR))


@pytest.mark.parametrize("prime", PRIMES)
def test_points_of_each_other_order_are_not_in_g2(prime):
    point = multiplied(POINTS[0], R * COFACTOR // prime)
    assert bn254.multiply_g2(point, prime) is None

    assert not bn254.is_in_g2(point)
    assert not bn254.is_in_g2(bn254.negate_g2(point))


@pytest.mark.parametrize("prime", PRIMES)
def test_a_key_plus_a_point_of_another_order_is_not_in_g2(prime):
    other = multiplied(POINTS[0], R * COFACTOR // prime)
    mixed = bn254.add_g2(bn254.public_key(7), other)
    assert mixed is not None
    assert bn254.is_on_twist(mixed)

    assert not bn254.is_in_g2(mixed)


def test_a_point_off_the_twist_is_not_in_g2():
    x, y = bn254.G2_GENERATOR

    assert not bn254.is_in_g2((x, tower.add_2(y, (1, 0))))
    assert not bn254.is_in_g2(((0, 0), (0, 0)))
