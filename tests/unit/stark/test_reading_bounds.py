"""Weights and digits express exactly the numbers of an interval."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import starkvectors as vectors
from dragon.stark.reading_bounds import RADIX, SPAN_LIMIT, ReadingBounds, RowPair, digits, weights
from dragon.stark.refusal import ProofRefused, Reason

EDGES = [0, 1, 2, 3, 4, 4194303, 4194304, 1 << 43, SPAN_LIMIT - 2, SPAN_LIMIT - 1]

widths = st.one_of(st.sampled_from(EDGES), st.integers(0, SPAN_LIMIT - 1), st.integers(0, 1 << 20))


def total(of_digits: RowPair, of_weights: RowPair) -> int:
    pairs = zip(of_digits, of_weights, strict=True)
    return sum(d * w for row in pairs for d, w in zip(*row, strict=True))


def steps_of(width: int) -> list[tuple[int, int]]:
    """Weight and radix of each digit, the greatest weight first."""
    both = [pair for row in weights(width) for pair in zip(row, RADIX, strict=True)]
    return sorted(both, reverse=True)


@pytest.mark.parametrize(
    "case", vectors.readings("weights.json")["weights"], ids=lambda case: case["width"]
)
def test_weights_equal_the_published_ones(case: Any) -> None:
    assert weights(case["width"]) == (tuple(case["first"]), tuple(case["second"]))


@pytest.mark.parametrize("width", [*range(70), 255, 256, 257])
def test_all_digits_together_reach_exactly_the_interval(width: int) -> None:
    used = [(weight, radix) for weight, radix in steps_of(width) if weight]

    reached = {
        sum(digit * weight for digit, (weight, _) in zip(chosen, used, strict=True))
        for chosen in product(*(range(radix) for _, radix in used))
    }

    assert reached == set(range(width + 1))


@given(widths)
def test_the_reachable_numbers_have_no_gap_and_end_at_the_width(width: int) -> None:
    """From the smallest weight up, no weight exceeds what is reached below it by more than one."""
    reached = 0
    for weight, radix in reversed(steps_of(width)):
        assert weight <= reached + 1
        reached += (radix - 1) * weight

    assert reached == width


@given(widths, st.data())
def test_greedy_digits_express_every_number_of_the_interval(width: int, data: Any) -> None:
    number = data.draw(st.one_of(st.sampled_from([0, width]), st.integers(0, width)))

    found = digits(number, width)

    assert total(found, weights(width)) == number
    assert all(0 <= digit < radix for row in found for digit, radix in zip(row, RADIX, strict=True))


@pytest.mark.parametrize("width", EDGES)
def test_the_ends_of_an_interval_are_expressed(width: int) -> None:
    assert total(digits(0, width), weights(width)) == 0
    assert total(digits(width, width), weights(width)) == width


@pytest.mark.parametrize(("number", "width"), [(-1, 5), (6, 5), (1, 0)])
def test_a_number_outside_of_the_interval_has_no_digits(number: int, width: int) -> None:
    with pytest.raises(ValueError, match="from 0 to"):
        digits(number, width)


@pytest.mark.parametrize("width", [-1, SPAN_LIMIT])
def test_an_interval_of_another_width_has_no_weights(width: int) -> None:
    with pytest.raises(ValueError, match="2\\^44"):
        weights(width)


def test_bounds_are_encoded_as_signed_integers() -> None:
    encoded = ReadingBounds(-1, 2, -3, 3, -(1 << 70), 1 << 70).encode()

    assert len(encoded) == 96
    assert encoded[:16] == b"\xff" * 16
    assert encoded[16:32] == (2).to_bytes(16, "big")
    assert encoded[64:80] == bytes.fromhex("ffffffffffffffc00000000000000000")


@given(st.tuples(*[st.integers(-(1 << 127), (1 << 127) - 1)] * 6))
def test_encoded_bounds_are_decoded_again(bounds: tuple[int, ...]) -> None:
    given_bounds = ReadingBounds(*bounds)

    assert ReadingBounds.decode(given_bounds.encode()) == given_bounds


@pytest.mark.parametrize("size", [0, 95, 97])
def test_bounds_of_another_length_are_refused(size: int) -> None:
    with pytest.raises(ProofRefused) as refused:
        ReadingBounds.decode(bytes(size))

    assert refused.value.reason is Reason.INPUT


def widest(low: int, high: int, n_summed: int) -> ReadingBounds:
    width = high - low
    return ReadingBounds(low, high, -width, width, n_summed * low, n_summed * high)


@pytest.mark.parametrize("n_readings", [2, 3, 4095])
@pytest.mark.parametrize("carried", [False, True])
def test_the_widest_claims_are_admissible(n_readings: int, carried: bool) -> None:
    widest(-400, 850, n_readings - carried).check(n_readings, carried)
    widest(-(1 << 59), -(1 << 59) + 7, n_readings - carried).check(n_readings, carried)
    widest((1 << 59) - 7, (1 << 59) - 1, n_readings - carried).check(n_readings, carried)


@given(
    st.tuples(*[st.integers(-6, 6)] * 4),
    st.tuples(*[st.integers(-20, 20)] * 2),
    st.integers(-1, 4),
    st.booleans(),
)
def test_bounds_are_admissible_exactly_by_the_rule(
    small: tuple[int, int, int, int], sums: tuple[int, int], n_readings: int, carried: bool
) -> None:
    low, high, step_low, step_high = small
    first, last = sums
    width, n_summed = high - low, n_readings - carried
    expected = (
        n_summed >= 1
        and low <= high
        and -width <= step_low <= step_high <= width
        and n_summed * low <= first <= last <= n_summed * high
    )

    assert admissible(ReadingBounds(*small, *sums), n_readings, carried) == expected


def admissible(bounds: ReadingBounds, n_readings: int, carried: bool) -> bool:
    try:
        bounds.check(n_readings, carried)
    except ProofRefused:
        return False
    return True


def test_no_window_has_more_than_4095_readings() -> None:
    bounds = widest(0, 1, 4096)

    assert not admissible(bounds, 4096, carried=False)
    assert not admissible(bounds, 4097, carried=True)
