"""Random windows of readings: what they claim, and that a proof exists exactly for what is true.

`reading_model` states the rules a second time. Proofs are made by the compiled prover for a few
windows, and verified as voters do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import reading_model
from committees import make_members
from dragon.errors import ProofRefused, WrongWitness
from dragon.protocol.streams.closing import Closing, decide
from dragon.protocol.streams.readings import Readings
from dragon.protocol.streams.statements import verify_window_proof
from examples import examples
from reading_model import Value
from reading_streams import COLD_CHAIN, ReadingsOwner, make_readings_owner
from streams import Window

KINDS = ("none", "total", "mean", "stated")
MOST = 9
Json = dict[str, Any]


@st.composite
def descriptors(draw: st.DrawFn, kinds: Sequence[str] = KINDS) -> Json:
    """The member `readings` of a descriptor, with small numbers."""
    low, width = draw(st.integers(-40, 40)), draw(st.integers(0, 12))
    carry = draw(st.booleans())
    rise = draw(st.integers(-width, width)) if carry else width
    fall = draw(st.integers(-rise, width)) if carry else width
    return {
        **COLD_CHAIN,
        "scale": 0,
        "carry": carry,
        "most": draw(st.integers(1 + carry, MOST)),
        "low": str(low),
        "high": str(low + width),
        "fall": str(fall),
        "rise": str(rise),
        "sum": draw(sums(low, low + width, draw(st.sampled_from(kinds)))),
    }


@st.composite
def sums(draw: st.DrawFn, low: int, high: int, kind: str) -> Json:
    if kind == "none":
        return {"kind": kind}
    if kind == "stated":
        return {"kind": kind, "width": str(draw(st.integers(0, 20)))}
    least, most = (low, high) if kind == "mean" else (MOST * low - 30, MOST * high + 30)
    one, other = sorted(draw(st.tuples(st.integers(least, most), st.integers(least, most))))
    return {"kind": kind, "low": str(one), "high": str(other)}


@st.composite
def sequences(draw: st.DrawFn, readings: Json, longest: int = MOST + 1) -> list[Value]:
    """Readings that mostly keep the bounds, so that windows with a claim are drawn often."""
    low, high = int(readings["low"]), int(readings["high"])
    fall, rise = int(readings["fall"]), int(readings["rise"])
    values: list[Value] = []
    for _ in range(draw(st.integers(2, longest))):
        before = values[-1] if values else None
        least, most = low, high
        if before is not None:
            least, most = max(low, before - fall), min(high, before + rise)
        if least > most or draw(st.integers(0, 30)) == 0:
            least, most = low - 3, high + 3
        values.append(draw(st.integers(least, most)))
        if draw(st.integers(0, 60)) == 0:
            values[-1] = None
    return values


@st.composite
def windows(draw: st.DrawFn) -> tuple[Json, Value, list[Value]]:
    """A descriptor's readings, the reading before the window, and those of the window."""
    readings = draw(descriptors())
    before, *values = draw(sequences(readings))
    return readings, before, values


def stored(values: Sequence[Value]) -> list[int]:
    """The committed values of these readings."""
    return [-reading_model.LIMIT if value is None else value for value in values]


def closing(readings: Json, before: Value, values: Sequence[Value], *, carried: bool) -> Closing:
    carried_value = stored([before])[0] if carried else None
    return decide(Readings.from_json(readings), stored(values), carried_value)


@settings(max_examples=examples(300), deadline=None)
@given(windows())
def test_a_window_claims_readings_exactly_if_every_rule_holds(
    drawn: tuple[Json, Value, list[Value]],
) -> None:
    readings, before, values = drawn
    for carried in {False, readings["carry"]}:
        found = closing(readings, before, values, carried=carried)

        assert (found.claim == "readings") == reading_model.claims(
            readings, values, before, carried=carried
        )
        if found.claim == "readings" and readings["sum"]["kind"] == "stated":
            width, total = int(readings["sum"]["width"]), sum(stored(values))
            assert found.stated == reading_model.stated_sum(width, total)
        else:
            assert found.stated is None


@settings(max_examples=examples(200), deadline=None)
@given(windows())
def test_bounds_never_depend_on_readings_but_for_a_stated_sum(
    drawn: tuple[Json, Value, list[Value]],
) -> None:
    """Every window of one size has the same bounds, and every proof system admits them."""
    json, before, values = drawn
    readings = Readings.from_json(json)
    assume(len(values) + json["carry"] <= json["most"])
    found = closing(json, before, values, carried=json["carry"])
    bounds = readings.bounds(len(values), json["carry"], found.stated)
    if bounds is None:
        assert json["sum"]["kind"] in ("total", "stated")
        assert found.claim == "none"
        return
    bounds.check(len(values) + json["carry"], json["carry"])
    if found.stated is None:
        assert bounds == readings.bounds(len(values), json["carry"], None)


def split(values: Sequence[Value], sizes: Sequence[int]) -> list[Sequence[Value]]:
    parts, at = [], 0
    for size in sizes:
        parts.append(values[at : at + size])
        at += size
    return [part for part in (*parts, values[at:]) if part]


@settings(max_examples=examples(150), deadline=None)
@given(st.data())
def test_no_step_hides_between_two_windows(data: st.DataObject) -> None:
    """However a carrying stream is cut: all windows claim readings if the whole sequence may."""
    readings = data.draw(descriptors(["none"]))
    readings |= {"carry": True, "most": 20}
    values = data.draw(sequences(readings, longest=18))
    parts = split(values, data.draw(st.lists(st.integers(1, 6), max_size=6)))

    found = [
        closing(readings, before[-1] if before else None, part, carried=bool(before)).claim
        for before, part in zip([(), *parts], parts, strict=False)
    ]

    whole = reading_model.claims(readings, values, None, carried=False)
    assert (set(found) == {"readings"}) == whole


@settings(max_examples=examples(150), deadline=None)
@given(st.data())
def test_an_early_end_of_a_window_does_not_help_a_mean(data: st.DataObject) -> None:
    """If every window keeps the mean, so does the whole, however it was cut. A total does not."""
    readings = data.draw(descriptors(["mean"])) | {"most": 20}
    values = data.draw(sequences(readings, longest=18))
    parts = split(values, data.draw(st.lists(st.integers(1, 6), max_size=6)))
    if all(closing(readings, part[0], part, carried=False).claim == "readings" for part in parts):
        numbers = [value for value in values if value is not None]
        assert reading_model.in_sum(readings["sum"], numbers)


def test_an_early_end_of_a_window_can_serve_a_total() -> None:
    """Why the page recommends a mean: who closes windows decides where they end."""
    rule = {"kind": "total", "low": "100", "high": "120"}
    readings = {**COLD_CHAIN, "sum": rule}
    whole, early = [30, 40, 40, 70], [30, 40, 40]

    assert closing(readings, None, whole, carried=False).claim == "none"
    assert closing(readings, None, early, carried=False).claim == "readings"


# -- proofs ----------------------------------------------------------------------------------------

MEMBERS = make_members()


def data_of(values: Sequence[Value]) -> list[bytes]:
    return [b"no number" if value is None else b"%d" % value for value in values]


def verify(owner: ReadingsOwner, window: Window, before: Any, proof: bytes) -> None:
    previous = before.header if before else None
    verify_window_proof(owner.descriptor, window.header, previous, window.chunks, proof)


@settings(max_examples=examples(60, usual=12), deadline=None)
@example(({**COLD_CHAIN, "sum": {"kind": "stated", "width": "9"}, "scale": 0}, 40, [50, 45]))
@example(({**COLD_CHAIN, "scale": 0}, 40, [50, 66]))
@example(({**COLD_CHAIN, "scale": 0}, None, [50, 55]))
@given(windows())
def test_a_readings_proof_exists_exactly_if_the_window_claims_readings(
    drawn: tuple[Json, Value, list[Value]],
) -> None:
    readings, first, values = drawn
    assume(len(values) + readings["carry"] <= readings["most"])
    owner = make_readings_owner(MEMBERS, "random", **readings)
    before = owner.window(data_of([first]))
    window = owner.window(data_of(values), before)
    carried = owner.carried(window) is not None
    proof = owner.prove(window)

    verify(owner, window, before, proof)

    expected = reading_model.claims(readings, values, first, carried=carried)
    assert (window.header.claim == "readings") == expected
    if expected:
        with pytest.raises(ProofRefused):
            verify(owner, window, before, owner.prove_blocks(window))
        return
    stated = None
    if readings["sum"]["kind"] == "stated":
        total = sum(value for value in values if value is not None)
        stated = reading_model.stated_sum(int(readings["sum"]["width"]), total)
    bounds = owner.readings.bounds(len(values), carried, stated)
    if bounds is not None:
        with pytest.raises(WrongWitness):
            owner.prove_readings(window, bounds)
    lying = replace(window.header, claim=type(window.header.claim)("readings"), stated=stated)
    with pytest.raises(ProofRefused):
        verify(owner, replace(window, header=lying), before, proof)
