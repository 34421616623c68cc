"""What a descriptor fixes for readings: every condition of section 19.16 is checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from committees import make_members
from dragon import errors
from dragon.encoding import parse
from dragon.protocol.streams.descriptor import MAX_DESCRIPTOR_BYTES, Descriptor
from dragon.protocol.streams.reading_rule import MAX_READING
from dragon.protocol.streams.readings import Readings
from dragon.stark.commitment import NO_READING
from dragon.stark.reading_bounds import ReadingBounds
from examples import examples
from reading_rules import COLD_CHAIN, free_steps, make_readings, reading_members
from streams import make_owner

DESCRIPTOR = make_owner(make_members()).descriptor
TOTAL = {"kind": "total", "low": "-9", "high": "9"}
MEAN = {"kind": "mean", "low": "2000", "high": "8000"}
STATED = {"kind": "stated", "width": "9"}


# -- form --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sums", [{"kind": "none"}, TOTAL, MEAN, STATED], ids=lambda s: s["kind"])
def test_the_published_form_is_restored(sums: Any) -> None:
    members = reading_members(sum=sums)

    readings = Readings.from_json(members)

    assert readings.to_json() == members
    assert Readings.from_json(readings.to_json()) == readings


def test_the_form_plain_has_no_pointer() -> None:
    assert "pointer" not in make_readings(form="plain", pointer=None).to_json()


def test_a_descriptor_with_readings_is_restored_from_its_object() -> None:
    described = replace(DESCRIPTOR, readings=make_readings(sum=MEAN))

    assert Descriptor.decode(described.encode()) == described
    assert parse(described.encode()) == {
        **DESCRIPTOR.to_json(),
        "readings": reading_members(sum=MEAN),
    }


def test_a_descriptor_without_readings_does_not_mention_them() -> None:
    assert DESCRIPTOR.readings is None
    assert b"readings" not in DESCRIPTOR.encode()


CHANGED: dict[str, Any] = {
    "form": {"form": "plain", "pointer": None},
    "pointer": {"pointer": "/t"},
    "scale": {"scale": 2},
    "rounding": {"rounding": "half-even"},
    "unit": {"unit": "K"},
    "length": {"length": 65},
    "low": {"low": "-29999"},
    "high": {"high": "59999"},
    "fall": {"fall": "1999"},
    "rise": {"rise": "1999"},
    "sum": {"sum": MEAN},
    "carry": {"carry": False, "fall": "90000", "rise": "90000"},
    "most": {"most": 62},
}


def test_the_id_covers_every_member() -> None:
    assert set(CHANGED) == set(COLD_CHAIN)
    every = [make_readings(), *(make_readings(**change) for change in CHANGED.values()), None]

    assert len({replace(DESCRIPTOR, readings=each).id for each in every}) == len(every)


def test_the_largest_descriptor_is_decoded() -> None:
    """A pointer of control characters has the longest encoding."""
    largest = replace(
        DESCRIPTOR,
        name="n" * 32,
        parameters="standard",
        readings=make_readings(
            pointer="/" + "\x01" * 127,
            rounding="half-even",
            unit="℃" * 16,
            scale=18,
            length=65_536,
            low=str(-MAX_READING),
            high=str(-MAX_READING + 2**43 - 1),
            fall=str(2**43 - 1),
            rise=str(2**43 - 1),
            sum={"kind": "total", "low": str(-(2**71)), "high": str(-(2**71) + 2**44 - 1)},
            carry=False,
            most=4095,
        ),
    )

    assert 1024 < len(largest.encode()) <= MAX_DESCRIPTOR_BYTES
    assert Descriptor.decode(largest.encode()) == largest


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(COLD_CHAIN))
def test_readings_without_a_member_are_refused(name: str) -> None:
    refusal = errors.InvalidReadings if name == "pointer" else errors.MissingMember

    with pytest.raises(refusal) as refused:
        Readings.from_json(reading_members(**{name: None}))

    assert refused.value.facts["member"] == name


FORMS = [
    ("form", "csv", errors.UnknownValue),
    ("form", 1, errors.WrongType),
    ("pointer", 1, errors.WrongType),
    ("scale", "3", errors.WrongType),
    ("scale", True, errors.NotAnInteger),
    ("scale", -1, errors.IntegerOutOfRange),
    ("rounding", "up", errors.UnknownValue),
    ("unit", 1, errors.WrongType),
    ("unit", "", errors.UnknownValue),
    ("length", "64", errors.WrongType),
    ("length", -1, errors.IntegerOutOfRange),
    ("low", -30000, errors.WrongType),
    ("low", "-0", errors.UnknownValue),
    ("low", "01", errors.UnknownValue),
    ("low", "+1", errors.UnknownValue),
    ("low", "1.0", errors.UnknownValue),
    ("low", "", errors.UnknownValue),
    ("low", "٣", errors.UnknownValue),
    ("low", "-" + "9" * 5000, errors.UnknownValue),
    ("high", "1e3", errors.UnknownValue),
    ("fall", " 1", errors.UnknownValue),
    ("rise", "1\n", errors.UnknownValue),
    ("sum", "none", errors.WrongType),
    ("carry", 1, errors.WrongType),
    ("most", 63.0, errors.NotAnInteger),
    ("more", 1, errors.UnknownMember),
]


@pytest.mark.parametrize(("name", "value", "refusal"), FORMS)
def test_a_member_of_the_wrong_form_is_refused(
    name: str, value: Any, refusal: type[errors.InvalidEncoding]
) -> None:
    with pytest.raises(errors.InvalidEncoding) as refused:
        Readings.from_json(reading_members(**{name: value}))

    assert type(refused.value) is refusal
    assert refused.value.facts["member"] == name


@pytest.mark.parametrize(
    ("value", "member", "refusal"),
    [
        ({}, "kind", errors.MissingMember),
        ({"kind": "median"}, "kind", errors.UnknownValue),
        ({"kind": "none", "low": "0"}, "low", errors.UnknownMember),
        ({"kind": "total", "low": "0"}, "high", errors.MissingMember),
        ({"kind": "mean", "high": "0"}, "low", errors.MissingMember),
        ({"kind": "stated"}, "width", errors.MissingMember),
        ({"kind": "stated", "width": 9}, "width", errors.WrongType),
        ({"kind": "stated", "width": "9", "low": "0"}, "low", errors.UnknownMember),
        ({"kind": "total", "low": "0", "high": "9" * 22}, "high", errors.IntegerOutOfRange),
    ],
)
def test_a_sum_of_the_wrong_form_is_refused(
    value: Any, member: str, refusal: type[errors.InvalidEncoding]
) -> None:
    with pytest.raises(errors.InvalidEncoding) as refused:
        Readings.from_json(reading_members(sum=value))

    assert type(refused.value) is refusal
    assert refused.value.facts["member"] == member


EDGE, FAR = MAX_READING, 2**43 - 1
WIDE: dict[str, Any] = {"low": "0", "high": str(FAR), "sum": {"kind": "stated", "width": "0"}}
# Each condition of 19.16: values that violate it, the member that the refusal names, and the
# nearest values that do not violate it.
CONDITIONS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"form": "plain"}, "pointer", {"form": "plain", "pointer": None}),
    ({"pointer": "temp"}, "pointer", {"pointer": "/temp"}),
    ({"scale": 19}, "scale", {"scale": 18}),
    ({"unit": "°C "}, "unit", {"unit": "° C"}),
    ({"unit": " "}, "unit", {"unit": "m·s⁻²"}),
    ({"unit": "a\u202eb"}, "unit", {"unit": "µg/m³"}),
    ({"unit": "a\nb"}, "unit", {"unit": "kΩ"}),
    ({"unit": "a\u00adb"}, "unit", {"unit": "1"}),
    ({"unit": "u" * 17}, "unit", {"unit": "u" * 16}),
    ({"length": 0}, "length", {"length": 7}),
    ({"length": 6}, "length", {"length": 7}),  # -30.000
    ({"length": 65_537}, "length", {"length": 65_536}),
    ({"low": str(-EDGE - 1), "high": "0"}, "low", {"low": str(-EDGE), "high": str(-EDGE + 9)}),
    ({"low": "0", "high": str(EDGE + 1)}, "high", {"low": str(EDGE - 9), "high": str(EDGE)}),
    ({"low": "1", "high": "0"}, "low", {"low": "0", "high": "0"}),
    ({**WIDE, "high": str(FAR + 1)}, "high", WIDE),
    ({"fall": "90001"}, "fall", {"fall": "90000"}),
    ({"rise": "90001"}, "rise", {"rise": "90000"}),
    ({"fall": "-5", "rise": "4"}, "rise", {"fall": "-5", "rise": "5"}),
    ({"fall": "5", "rise": "-6"}, "rise", {"fall": "5", "rise": "-5"}),
    ({"carry": False}, "carry", {"carry": False, "fall": "90000", "rise": "90000"}),
    ({"carry": False, "fall": "90000"}, "carry", {"fall": "90000"}),
    ({"carry": False, "rise": "90000"}, "carry", {"rise": "90000"}),
    ({"most": 1}, "most", {"most": 2}),
    ({"most": 4096}, "most", {"most": 4095}),
    (
        {"carry": False, "fall": "90000", "rise": "90000", "most": 0},
        "most",
        {"carry": False, "fall": "90000", "rise": "90000", "most": 1},
    ),
    (
        {**WIDE, "sum": {"kind": "none"}, "most": 3},
        "sum",
        {**WIDE, "sum": {"kind": "none"}, "most": 2},
    ),
    (
        {"sum": {"kind": "total", "low": "1", "high": "0"}},
        "sum",
        {"sum": {"kind": "total", "low": "1", "high": "1"}},
    ),
    (
        {**WIDE, "sum": {"kind": "total", "low": "0", "high": str(2**44)}},
        "sum",
        {**WIDE, "sum": {"kind": "total", "low": "0", "high": str(2**44 - 1)}},
    ),
    (
        {**WIDE, "most": 3, "sum": {"kind": "total", "low": "0", "high": str(2**44)}},
        "sum",
        {**WIDE, "most": 2, "sum": {"kind": "total", "low": "0", "high": str(2**44)}},
    ),
    (
        {"sum": {"kind": "mean", "low": "-30001", "high": "0"}},
        "sum",
        {"sum": {"kind": "mean", "low": "-30000", "high": "0"}},
    ),
    (
        {"sum": {"kind": "mean", "low": "0", "high": "60001"}},
        "sum",
        {"sum": {"kind": "mean", "low": "0", "high": "60000"}},
    ),
    (
        {"sum": {"kind": "mean", "low": "1", "high": "0"}},
        "sum",
        {"sum": {"kind": "mean", "low": "1", "high": "1"}},
    ),
    (
        {**WIDE, "most": 4, "sum": {"kind": "mean", "low": "0", "high": str(2**42)}},
        "sum",
        {**WIDE, "most": 4, "sum": {"kind": "mean", "low": "0", "high": str(2**42 - 1)}},
    ),
    (
        {"sum": {"kind": "stated", "width": "-1"}},
        "sum",
        {"sum": {"kind": "stated", "width": "0"}},
    ),
    (
        {"sum": {"kind": "stated", "width": str(2**44)}},
        "sum",
        {"sum": {"kind": "stated", "width": str(2**44 - 1)}},
    ),
]


def _fitting(changes: dict[str, Any]) -> dict[str, Any]:
    """Add steps that fit the range, where the case is not about steps."""
    if {"low", "high"} & set(changes):
        return {"fall": "0", "rise": "0", "scale": 0, **changes}
    return changes


@pytest.mark.parametrize(("wrong", "member", "right"), CONDITIONS)
def test_each_condition_is_checked(
    wrong: dict[str, Any], member: str, right: dict[str, Any]
) -> None:
    assert make_readings(**_fitting(right))
    spoiled = {**DESCRIPTOR.to_json(), "readings": reading_members(**_fitting(wrong))}

    with pytest.raises(errors.InvalidReadings) as refused:
        Descriptor.from_json(spoiled)

    assert refused.value.facts["member"] == member


@pytest.mark.parametrize("pointer", ["/" + "a" * 128, "/a" * 9, "/~"])
def test_an_invalid_pointer_is_refused(pointer: str) -> None:
    with pytest.raises(errors.InvalidReadings) as refused:
        make_readings(pointer=pointer)

    assert refused.value.facts["member"] == "pointer"


@given(st.integers(0, 18), st.integers(-MAX_READING, MAX_READING), st.integers(0, 2**43 - 1))
def test_every_number_in_the_range_fits_into_the_length(scale: int, low: int, width: int) -> None:
    high = min(low + width, MAX_READING)
    readings = free_steps(low, high, sum={"kind": "stated", "width": "0"}, scale=scale)
    shortest = next(n for n in range(1, 30) if _takes_length(readings, n))

    for reading in (low, high, (low + high) // 2, max(low, min(0, high))):
        digits = f"{abs(reading):0{scale + 1}}"
        point = len(digits) - scale
        text = f"{'-' if reading < 0 else ''}{digits[:point]}.{digits[point:]}".removesuffix(".")
        assert len(text) <= shortest
        assert readings.rule.reading(text.encode()) == reading


def _takes_length(readings: Readings, length: int) -> bool:
    try:
        replace(readings, length=length)
    except errors.InvalidReadings:
        return False
    return True


# -- values ------------------------------------------------------------------------------------


def test_the_committed_value_is_the_reading() -> None:
    assert make_readings().committed_value(b'{"temp":-4.25}') == -4250


def test_a_message_without_a_reading_has_the_value_that_no_range_admits() -> None:
    assert make_readings().committed_value(b"ERR 7") == NO_READING == -(2**59)


def test_the_first_window_carries_nothing() -> None:
    carrying, free = make_readings(), free_steps(0, 9)

    assert [carrying.is_carried(number) for number in (0, 1, 2)] == [False, True, True]
    assert [free.is_carried(number) for number in (0, 1, 2)] == [False, False, False]
    assert (carrying.most_chunks(False), carrying.most_chunks(True)) == (63, 62)


# -- bounds ------------------------------------------------------------------------------------


def admitted(bounds: ReadingBounds, total_count: int, carried: bool) -> bool:
    """The conditions of section 19.1, as they stand there."""
    low, high = bounds.low, bounds.high
    counted, width = total_count - carried, high - low
    return (
        1 + carried <= total_count <= 4095
        and -(2**59) <= low <= high < 2**59
        and width < 2**43
        and -width <= bounds.step_low <= bounds.step_high <= width
        and counted * low <= bounds.sum_low <= bounds.sum_high <= counted * high
        and bounds.sum_high - bounds.sum_low < 2**44
    )


WIDTHS = st.one_of(st.sampled_from([0, 1, 7, 2**20, 2**32 - 1, 2**43 - 1]), st.integers(0, 2**43))


@st.composite
def registrations(draw: st.DrawFn) -> Readings:
    """Readings as a descriptor may fix them."""
    width = draw(WIDTHS)
    low = draw(st.integers(-MAX_READING, MAX_READING - width))
    high, carry = low + width, draw(st.booleans())
    fall, rise = width, width
    if carry:
        first, second = sorted(draw(st.tuples(*[st.integers(-width, width)] * 2)))
        fall, rise = -first, second
    ends = sorted(draw(st.tuples(*[st.integers(low, high)] * 2)))
    size = draw(st.integers(1, 4095))
    totals = sorted(draw(st.tuples(*[st.integers(low * size - 9, high * size + 9)] * 2)))
    sums = draw(
        st.sampled_from(
            [
                {"kind": "none"},
                {"kind": "mean", "low": str(ends[0]), "high": str(ends[1])},
                {"kind": "total", "low": str(totals[0]), "high": str(totals[1])},
                {"kind": "stated", "width": "0"},
                {"kind": "stated", "width": str(draw(st.integers(0, 2**44 - 1)))},
            ]
        )
    )
    most = draw(st.sampled_from([2, 3, 63, 4095]))
    members = reading_members(
        scale=0,
        low=str(low),
        high=str(high),
        fall=str(fall),
        rise=str(rise),
        sum=sums,
        carry=carry,
        most=most,
    )
    try:
        return Readings.from_json(members)
    except errors.InvalidReadings:
        assume(False)
        raise


@settings(max_examples=examples(300), deadline=None)
@given(st.data(), registrations())
def test_all_bounds_are_admitted_by_section_19_1(data: st.DataObject, readings: Readings) -> None:
    carried = readings.carry and data.draw(st.booleans())
    count = data.draw(st.integers(1, readings.most_chunks(carried)))
    total = data.draw(st.integers(count * readings.low, count * readings.high))
    sums = readings.to_json()["sum"]
    assert isinstance(sums, dict)
    stated = None
    if sums["kind"] == "stated":
        step = int(str(sums["width"])) + 1
        stated = data.draw(st.sampled_from([total // step * step, total // step * step + step]))

    bounds = readings.bounds(count, carried, stated)

    if bounds is None:
        assert sums["kind"] in ("total", "stated")
    else:
        bounds.check(count + carried, carried)
        assert admitted(bounds, count + carried, carried)
        assert (bounds.low, bounds.high) == (readings.low, readings.high)
        assert (bounds.step_low, bounds.step_high) == (-readings.fall, readings.rise)
    if sums["kind"] in ("none", "mean"):
        assert bounds
    if sums["kind"] == "none":
        assert bounds
        assert bounds.sum_low <= total <= bounds.sum_high
    if stated is not None and stated <= total:
        assert bounds
        assert bounds.sum_low <= total <= bounds.sum_high


def sum_bounds(readings: Readings, count: int, stated: int | None = None) -> tuple[int, int] | None:
    bounds = readings.bounds(count, False, stated)
    return (bounds.sum_low, bounds.sum_high) if bounds else None


def test_without_a_claim_about_the_sum_the_range_bounds_it() -> None:
    assert sum_bounds(free_steps(-2, 5), 10) == (-20, 50)


def test_a_mean_bounds_the_sum_by_the_number_of_readings() -> None:
    readings = free_steps(-2, 5, sum={"kind": "mean", "low": "1", "high": "2"})

    assert sum_bounds(readings, 10) == (10, 20)


def test_a_total_bounds_the_sum_within_the_range() -> None:
    readings = free_steps(-2, 5, sum={"kind": "total", "low": "10", "high": "100"})

    assert sum_bounds(readings, 10) == (10, 50)
    assert sum_bounds(readings, 2) == (10, 10)
    assert sum_bounds(readings, 1) is None


def test_a_stated_sum_begins_at_a_multiple_of_its_width_plus_one() -> None:
    readings = free_steps(-2, 5, sum={"kind": "stated", "width": "9"})

    assert sum_bounds(readings, 10, 20) == (20, 29)
    assert sum_bounds(readings, 10, -20) == (-20, -11)
    assert sum_bounds(readings, 10, -30) is None  # below the range
    assert sum_bounds(readings, 10, 50) == (50, 50)  # cut to the range
    assert sum_bounds(readings, 10, 60) is None
    for misplaced in (*range(21, 30), -1, 1):
        assert sum_bounds(readings, 10, misplaced) is None


def test_a_sum_is_stated_exactly_where_the_descriptor_says_so() -> None:
    assert sum_bounds(free_steps(0, 9), 3, 0) is None
    assert sum_bounds(free_steps(0, 9, sum={"kind": "mean", "low": "0", "high": "9"}), 3, 0) is None
    assert sum_bounds(free_steps(0, 9, sum={"kind": "stated", "width": "0"}), 3) is None


@pytest.mark.parametrize(("count", "carried"), [(0, False), (64, False), (63, True), (-1, False)])
def test_there_are_no_bounds_for_a_wrong_number_of_chunks(count: int, carried: bool) -> None:
    readings = make_readings()

    assert readings.bounds(count, carried, None) is None
    assert readings.bounds(62, True, None)
    assert readings.bounds(63, False, None)
