"""Multiples in Jacobian coordinates are those that repeated affine additions give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragon_sequencer import bn254
from dragon_sequencer.bn254 import G1_GENERATOR, G2_GENERATOR
from dragon_sequencer.multiples import multiple_g1, multiple_g2
from dragon_sequencer.tower import R
from examples import examples

# A point of the twist whose order is a small prime: its multiples meet infinity, the point itself
# and its negative.
SMALL_ORDER = 10069
SMALL = (
    (
        10055336645499400472467866896663583646658575655654246678460509670547343162740,
        14066267285379327547571384912244839003486979581938646491273947181561574398417,
    ),
    (
        14646107077736400806773013424225588621110742892896383938808720506698569140753,
        2586544175131426305409667600075131878999631858911295927522049773227777873633,
    ),
)


def added(add: Callable[[Any, Any], Any], point: Any, factor: int) -> Any:
    """The multiple by affine doubling and adding."""
    found = None
    for bit in bin(factor)[2:]:
        found = add(found, found)
        if bit == "1":
            found = add(found, point)
    return found


@pytest.mark.parametrize("factor", [*range(20), R - 2, R - 1])
def test_few_multiples_of_the_generators(factor: int) -> None:
    assert multiple_g1(G1_GENERATOR, factor) == added(bn254.add_g1, G1_GENERATOR, factor)
    assert multiple_g2(G2_GENERATOR, factor) == added(bn254.add_g2, G2_GENERATOR, factor)


@pytest.mark.parametrize("factor", [R, 2 * R])
def test_a_multiple_of_the_order_is_infinity(factor: int) -> None:
    assert multiple_g1(G1_GENERATOR, factor) is None
    assert multiple_g2(G2_GENERATOR, factor) is None


@pytest.mark.parametrize("factor", [R + 1, R + 2, R + 3, 2 * R + 1])
def test_multiples_go_on_after_infinity(factor: int) -> None:
    assert multiple_g1(G1_GENERATOR, factor) == multiple_g1(G1_GENERATOR, factor % R)
    assert multiple_g2(G2_GENERATOR, factor) == multiple_g2(G2_GENERATOR, factor % R)


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(0, R - 1), st.integers(1, R - 1))
def test_multiples_of_any_point(factor: int, secret: int) -> None:
    one, other = multiple_g1(G1_GENERATOR, secret), multiple_g2(G2_GENERATOR, secret)
    assert one is not None
    assert other is not None

    assert multiple_g1(one, factor) == added(bn254.add_g1, one, factor)
    assert multiple_g2(other, factor) == added(bn254.add_g2, other, factor)


@pytest.mark.parametrize("turns", [0, 1, 2, 1000])
@pytest.mark.parametrize("beside", [-2, -1, 0, 1, 2, 3])
def test_multiples_of_a_point_of_small_order(turns: int, beside: int) -> None:
    factor = max(0, turns * SMALL_ORDER + beside)

    assert multiple_g2(SMALL, factor) == added(bn254.add_g2, SMALL, factor % SMALL_ORDER)
