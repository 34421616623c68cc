"""Weighted sums of points, compared with an independent library."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as oracle

from dragon_sequencer import bn254
from dragon_sequencer.tower import R
from dragon_sequencer.weighted_sum import weighted_sum
from examples import examples

pytestmark = pytest.mark.usefixtures("computed_anew", "either_arithmetic")

SCALARS = st.integers(1, R - 1)
FACTORS = st.integers(0, (1 << 128) - 1)


def point(scalar: int) -> bn254.G1:
    found = bn254.multiply_g1(bn254.G1_GENERATOR, scalar)
    assert found is not None
    return found


def by_oracle(scalars: list[int], factors: list[int]) -> bn254.G1 | None:
    total = oracle.Z1
    for scalar, factor in zip(scalars, factors, strict=True):
        total = oracle.add(total, oracle.multiply(oracle.multiply(oracle.G1, scalar), factor))
    if oracle.is_inf(total):
        return None
    x, y = oracle.normalize(total)
    return int(x), int(y)


@settings(max_examples=examples(20), deadline=None)
@given(st.lists(st.tuples(SCALARS, FACTORS), max_size=4))
def test_a_weighted_sum_equals_that_of_an_independent_library(
    terms: list[tuple[int, int]],
) -> None:
    scalars, factors = [scalar for scalar, _ in terms], [factor for _, factor in terms]

    assert weighted_sum([point(each) for each in scalars], factors) == by_oracle(scalars, factors)


@pytest.mark.parametrize(
    ("scalars", "factors", "product"),
    [
        ([], [], 0),
        ([5], [0], 0),
        ([5], [1], 5),
        ([5, 5], [7, 7], 70),  # equal points are doubled
        ([5, 10], [2, 1], 20),  # equal sums on the way
        ([5, R - 5], [9, 9], 0),  # opposite points cancel
        ([5, R - 5, 3], [9, 9, 2], 6),
        ([1], [R], 0),
        ([1], [R + 16], 16),
        ([2, 3], [16, 1], 35),  # factors of different lengths
    ],
)
def test_special_sums(scalars: list[int], factors: list[int], product: int) -> None:
    expected = bn254.multiply_g1(bn254.G1_GENERATOR, product)

    assert weighted_sum([point(each) for each in scalars], factors) == expected
    assert by_oracle(scalars, factors) == expected


def test_points_and_factors_must_match() -> None:
    with pytest.raises(ValueError, match="one factor for each point"):
        weighted_sum([point(1)], [])
    with pytest.raises(ValueError, match="negative"):
        weighted_sum([point(1)], [-1])
