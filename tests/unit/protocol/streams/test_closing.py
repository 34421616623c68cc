"""What a window claims about its readings, against a model that follows section 19.1 literally."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragon.protocol.streams.closing import Closing, HeaderClaim, decide
from dragon.protocol.streams.readings import Readings
from dragon.stark.commitment import NO_READING
from examples import examples
from reading_rules import free_steps, make_readings

READINGS, NONE = HeaderClaim.READINGS, HeaderClaim.NONE
SUMS: list[dict[str, Any]] = [
    {"kind": "none"},
    {"kind": "total", "low": "-1", "high": "2"},
    {"kind": "total", "low": "5", "high": "9"},
    {"kind": "mean", "low": "0", "high": "1"},
    {"kind": "stated", "width": "0"},
    {"kind": "stated", "width": "4"},
]


def model(members: dict[str, Any], values: list[int], carried: int | None) -> Closing:
    """Section 19.16 in the words of its members, without the six bounds."""
    everything = values if carried is None else [carried, *values]
    low, high = int(members["low"]), int(members["high"])
    fall, rise = int(members["fall"]), int(members["rise"])
    holds = all(low <= each <= high for each in everything)
    for index in range(1, len(everything)):
        step = everything[index] - everything[index - 1]
        holds = holds and -fall <= step <= rise
    total, sums, stated = sum(values), members["sum"], None
    if sums["kind"] == "total":
        holds = holds and int(sums["low"]) <= total <= int(sums["high"])
    elif sums["kind"] == "mean":
        mean_low, mean_high = int(sums["low"]), int(sums["high"])
        holds = holds and mean_low * len(values) <= total <= mean_high * len(values)
    elif sums["kind"] == "stated":
        step = int(sums["width"]) + 1
        stated = next(each for each in range(total, total - step, -1) if each % step == 0)
    return Closing(READINGS, stated) if holds else Closing(NONE)


def stepping(sums: dict[str, Any], fall: int = 1, rise: int = 2) -> Readings:
    """Readings from -1 to 3 with bounded steps."""
    return free_steps(-1, 3, sum=sums, fall=str(fall), rise=str(rise), carry=True)


@pytest.mark.parametrize("sums", SUMS, ids=str)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_small_window_is_decided_as_the_model_says(sums: dict[str, Any], count: int) -> None:
    readings = stepping(sums)
    members = readings.to_json()
    claims = set()

    for carried, *values in product([None, *range(-2, 5)], *[[*range(-2, 5)]] * count):
        assert all(value is not None for value in values)
        new = [value for value in values if value is not None]
        decided = decide(readings, new, carried)
        assert decided == model(members, new, carried)
        claims.add(decided.claim)

    impossible = sums["kind"] == "total" and sums["low"] == "5" and count == 1
    assert claims == ({NONE} if impossible else {READINGS, NONE})


VALUES = st.integers(-40, 40)


@settings(max_examples=examples(300), deadline=None)
@given(
    st.lists(st.one_of(VALUES, st.just(NO_READING)), min_size=1, max_size=8),
    st.one_of(st.none(), VALUES, st.just(NO_READING)),
    st.sampled_from(SUMS),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_random_windows_are_decided_as_the_model_says(
    values: list[int], carried: int | None, sums: dict[str, Any], fall: int, rise: int
) -> None:
    readings = free_steps(-30, 30, sum=sums, fall=str(fall), rise=str(rise), carry=True)

    assert decide(readings, values, carried) == model(readings.to_json(), values, carried)


def test_one_reading_out_of_bounds_is_enough() -> None:
    readings = make_readings()
    inside = [4000] * 62

    assert decide(readings, inside, 4000).claim is READINGS
    for place in (0, 30, 61):
        assert decide(readings, [*inside[:place], 60001, *inside[place + 1 :]], 4000).claim is NONE


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_message_without_a_reading_ends_the_claim(place: int) -> None:
    values = [4, 5, 6]
    values[place] = NO_READING

    assert decide(free_steps(0, 9), values, None) == Closing(NONE)


def test_a_bad_last_reading_makes_the_next_window_unclaimed_and_no_further_one() -> None:
    readings = make_readings()

    assert decide(readings, [4000, 4000], NO_READING).claim is NONE
    assert decide(readings, [4000, 4000], 60001).claim is NONE
    assert decide(readings, [4000, 4000], 6001).claim is NONE  # the step, not the range
    assert decide(readings, [4000, 4000], 4000).claim is READINGS


def test_the_carried_reading_is_not_in_the_sum() -> None:
    readings = free_steps(0, 9, sum={"kind": "stated", "width": "0"}, carry=True)

    assert decide(readings, [1, 2], None) == Closing(READINGS, 3)
    assert decide(readings, [1, 2], 9) == Closing(READINGS, 3)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=63), st.integers(0, 500))
def test_the_stated_sum_is_the_greatest_multiple_that_is_not_above_the_sum(
    values: list[int], width: int
) -> None:
    readings = free_steps(-1000, 1000, sum={"kind": "stated", "width": str(width)})

    decided = decide(readings, values, None)

    assert decided.claim is READINGS
    assert decided.stated is not None
    assert decided.stated % (width + 1) == 0
    assert 0 <= sum(values) - decided.stated <= width


def test_nothing_is_stated_without_the_claim() -> None:
    readings = free_steps(0, 9, sum={"kind": "stated", "width": "0"})

    assert decide(readings, [10], None) == Closing(NONE, None)


def test_a_window_with_more_readings_than_a_proof_takes_claims_nothing() -> None:
    readings = make_readings(most=3)

    assert decide(readings, [0] * 2, 0).claim is READINGS
    assert decide(readings, [0] * 3, 0).claim is NONE
    assert decide(readings, [0] * 3, None).claim is READINGS
