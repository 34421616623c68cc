"""Headers of windows with readings: their optional members, and every rule about them alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from committees import make_members
from dragon import errors
from dragon.encoding import Json, canonical
from dragon.protocol.claims.window import Statement
from dragon.protocol.streams.closing import Closing, HeaderClaim
from dragon.protocol.streams.reading_sums import MAX_SUM
from dragon.protocol.streams.readings import Readings
from dragon.protocol.streams.statements import (
    needs_previous,
    proven_chunks,
    statement_of,
    window_statement,
)
from dragon.protocol.streams.window import MAX_HEADER_BYTES, WindowHeader, close
from dragon.protocol.streams.window_readings import readings_chunks_fault, readings_header_fault
from dragon.stark.reading_bounds import ReadingBounds
from dragon.stark.refusal import ProofRefused
from reading_rules import free_steps, make_readings
from streams import Owner, Window, make_owner

MEMBERS = make_members()
STEPS = make_readings(form="plain", pointer=None, most=4)  # carried, so windows of up to 3 follow
EXACT = free_steps(-100, 100, sum={"kind": "stated", "width": "4"})
PLAIN = make_owner(MEMBERS)
CARRYING = make_owner(MEMBERS, readings=STEPS)
STATING = make_owner(MEMBERS, readings=EXACT)

FIRST = CARRYING.window([b"1.5", b"2.25", b"3"])
SECOND = CARRYING.window([b"3.5", b"4"], FIRST)
STATED = STATING.window([b"7", b"-2", b"12"])
READINGS, NONE = HeaderClaim.READINGS, HeaderClaim.NONE


def fault(owner: Owner, window: Window, **changes: Any) -> str:
    before = window.previous.header if window.previous else None
    changed = dataclasses.replace(window.header, **changes)
    return readings_header_fault(owner.descriptor.readings, changed, before)


# -- form ------------------------------------------------------------------------------------------


def test_a_header_says_what_is_claimed_and_with_what_the_next_proof_begins() -> None:
    header = FIRST.header

    assert (header.claim, header.last, header.stated) == (
        READINGS,
        FIRST.chunks[-1].commitment,
        None,
    )
    assert header.members()["claim"] == "readings"
    assert STATED.header.members()["sum"] == "15"
    assert STATED.header.last is None


def test_headers_of_streams_without_readings_have_no_new_member() -> None:
    header = PLAIN.window([b"a"]).header

    assert (header.claim, header.last, header.stated) == (None, None, None)
    assert not {"claim", "last", "sum"} & set(header.members())


def test_the_claim_is_covered_by_the_hash() -> None:
    relabelled = dataclasses.replace(FIRST.header, claim=NONE)

    assert relabelled.hash != FIRST.header.hash
    assert relabelled.root(bytes(32)) != FIRST.header.root(bytes(32))


@given(
    st.sampled_from([None, READINGS, NONE]),
    st.none() | st.binary(min_size=32, max_size=32),
    st.none() | st.integers(-MAX_SUM, MAX_SUM),
)
def test_a_header_with_readings_is_restored_from_its_object(
    claim: HeaderClaim | None, last: bytes | None, stated: int | None
) -> None:
    header = dataclasses.replace(FIRST.header, claim=claim, last=last, stated=stated)

    assert WindowHeader.decode(header.encode()) == header
    assert len(header.encode()) <= MAX_HEADER_BYTES


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("claim", "blocks", errors.UnknownValue),
        ("claim", None, errors.WrongType),
        ("last", "0x00", errors.InvalidHex),
        ("last", None, errors.WrongType),
        ("sum", 15, errors.WrongType),
        ("sum", "-0", errors.UnknownValue),
        ("sum", "015", errors.UnknownValue),
        ("sum", "1e3", errors.UnknownValue),
        ("sum", str(MAX_SUM + 1), errors.IntegerOutOfRange),
        ("sum", None, errors.WrongType),
    ],
)
def test_a_malformed_member_is_refused(
    name: str, value: Json, refusal: type[errors.DragonError]
) -> None:
    members = {**FIRST.header.members(), name: value}

    with pytest.raises(refusal):
        WindowHeader.decode(canonical(members))


# -- faults of headers -----------------------------------------------------------------------------


def test_correct_headers_have_no_fault() -> None:
    for owner, window in ((CARRYING, FIRST), (CARRYING, SECOND), (STATING, STATED)):
        readings = owner.descriptor.readings

        assert not fault(owner, window)
        assert not readings_chunks_fault(readings, window.header, window.chunks)


@pytest.mark.parametrize(
    "changes", [{"claim": READINGS}, {"claim": NONE}, {"last": bytes(32)}, {"stated": 0}]
)
def test_a_stream_without_readings_has_none_of_the_members(changes: dict[str, Any]) -> None:
    window = PLAIN.window([b"a"])

    assert not fault(PLAIN, window)
    assert "a member of streams with readings" in fault(PLAIN, window, **changes)


@pytest.mark.parametrize("owner", [CARRYING, STATING], ids=["carrying", "stating"])
def test_a_header_must_make_a_claim_or_none(owner: Owner) -> None:
    window = FIRST if owner is CARRYING else STATED

    assert "lacks the member claim" in fault(owner, window, claim=None)


def test_the_last_commitment_is_present_exactly_if_it_is_carried() -> None:
    assert "requires the member last" in fault(CARRYING, FIRST, last=None)
    assert "does not allow the member last" in fault(STATING, STATED, last=bytes(32))


def test_a_sum_is_present_exactly_if_a_claim_states_it() -> None:
    assert "must state a sum" in fault(STATING, STATED, stated=None)
    assert "must not state a sum" in fault(STATING, STATED, claim=NONE)
    assert "must not state a sum" in fault(CARRYING, FIRST, stated=0)
    assert not fault(STATING, STATED, claim=NONE, stated=None)


def test_a_window_has_no_more_chunks_than_a_proof_covers() -> None:
    assert not fault(CARRYING, FIRST, count=4)
    assert "at most 4" in fault(CARRYING, FIRST, count=5)
    assert not fault(CARRYING, SECOND, count=3)
    assert "at most 3" in fault(CARRYING, SECOND, count=4)  # the carried chunk counts
    assert "at most 3" in fault(CARRYING, SECOND, count=4, claim=NONE)


def test_the_window_before_must_state_what_is_carried() -> None:
    lacking = dataclasses.replace(FIRST.header, last=None)

    assert "previous header lacks" in readings_header_fault(STEPS, SECOND.header, lacking)


# -- faults of chunk headers -----------------------------------------------------------------------


def test_every_chunk_states_the_length_of_the_descriptor() -> None:
    real = dataclasses.replace(FIRST.chunks[1], length=4)
    chunks = (FIRST.chunks[0], real, FIRST.chunks[2])

    assert "states a length of 4 bytes" in readings_chunks_fault(STEPS, FIRST.header, chunks)
    assert not readings_chunks_fault(None, FIRST.header, chunks)


def test_the_last_commitment_is_that_of_the_last_chunk() -> None:
    other = dataclasses.replace(FIRST.header, last=FIRST.chunks[0].commitment)

    assert "not the commitment of the last" in readings_chunks_fault(STEPS, other, FIRST.chunks)


# -- closing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "closing"),
    [
        (PLAIN, Closing(NONE)),
        (CARRYING, None),
        (CARRYING, Closing(READINGS, 0)),
        (STATING, Closing(READINGS)),
        (STATING, Closing(NONE, 0)),
    ],
)
def test_a_window_is_not_closed_with_a_fault(owner: Owner, closing: Closing | None) -> None:
    window = owner.window([b"1"])

    with pytest.raises(ValueError, match=r"claim|sum|member"):
        close(owner.descriptor, None, window.chunks, closing)


def test_too_many_chunks_are_not_closed() -> None:
    with pytest.raises(ValueError, match="at most 3"):
        CARRYING.window([b"1"] * 4, FIRST)


# -- statements ------------------------------------------------------------------------------------


def test_claims_state_what_the_header_says() -> None:
    without = CARRYING.window([b"61"])

    assert without.header.claim is NONE
    assert statement_of(CARRYING.descriptor, FIRST.header) is Statement.READINGS
    assert statement_of(CARRYING.descriptor, without.header) is Statement.BLOCKS
    assert statement_of(PLAIN.descriptor, PLAIN.window([b"a"]).header) is None
    missing = dataclasses.replace(
        FIRST.header, claim=None
    )  # a fault, but of a stream with readings
    assert statement_of(CARRYING.descriptor, missing) is Statement.BLOCKS


def test_the_bounds_are_those_of_the_descriptor() -> None:
    first = window_statement(CARRYING.descriptor, FIRST.header, None)
    second = window_statement(CARRYING.descriptor, SECOND.header, FIRST.header)
    stated = window_statement(STATING.descriptor, STATED.header, None)

    assert first
    assert second
    assert stated
    assert first.bounds == ReadingBounds(-30_000, 60_000, -2_000, 2_000, -90_000, 180_000)
    assert (first.carried, second.carried) == (None, FIRST.chunks[-1].commitment)
    assert stated.bounds == ReadingBounds(-100, 100, -200, 200, 15, 19)
    commitments = [each.commitment for each in (FIRST.chunks[-1], *SECOND.chunks)]
    assert second.commitments(SECOND.chunks) == commitments


def test_a_window_without_the_claim_makes_no_statement_about_readings() -> None:
    without = CARRYING.window([b"61"])

    assert window_statement(CARRYING.descriptor, without.header, None) is None
    assert window_statement(PLAIN.descriptor, PLAIN.window([b"a"]).header, None) is None


def test_only_a_proof_that_begins_with_the_window_before_needs_its_header() -> None:
    after = CARRYING.window([b"61"], FIRST)

    assert needs_previous(CARRYING.descriptor, SECOND.header)
    assert not needs_previous(CARRYING.descriptor, FIRST.header)
    assert not needs_previous(CARRYING.descriptor, after.header)
    assert not needs_previous(STATING.descriptor, STATING.window([b"1"], STATED).header)


def test_a_proof_that_begins_with_the_window_before_is_about_one_chunk_more() -> None:
    assert proven_chunks(CARRYING.descriptor, SECOND.header) == SECOND.header.count + 1
    assert proven_chunks(CARRYING.descriptor, FIRST.header) == FIRST.header.count
    assert proven_chunks(PLAIN.descriptor, PLAIN.window([b"a"]).header) == 1


def test_a_statement_needs_the_right_window_before() -> None:
    other = dataclasses.replace(FIRST.header, last_received_ms=FIRST.header.last_received_ms + 1)

    for before in (None, other, SECOND.header):
        with pytest.raises(ProofRefused, match="previous window") as refused:
            window_statement(CARRYING.descriptor, SECOND.header, before)
        assert refused.value.reason == "input"


@pytest.mark.parametrize(
    ("readings", "changes"),
    [
        (EXACT, {"stated": 16}),  # not a multiple of the width + 1
        (EXACT, {"stated": 305}),  # above three times the highest reading
        (EXACT, {"stated": -310}),
        (free_steps(0, 10, sum={"kind": "total", "low": "40", "high": "50"}), {"stated": None}),
    ],
)
def test_a_sum_that_is_not_possible_makes_no_statement(
    readings: Readings, changes: dict[str, Any]
) -> None:
    owner = make_owner(MEMBERS, readings=readings)
    header = dataclasses.replace(owner.window([b"7", b"2", b"9"]).header, claim=READINGS, **changes)

    with pytest.raises(ProofRefused, match="no sum in the stream's bounds") as refused:
        window_statement(owner.descriptor, header, None)
    assert refused.value.reason == "input"
