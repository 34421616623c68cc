"""Findings on windows with readings: what is proven follows from header and descriptor alone."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import pytest

from committees import make_members
from dragon.protocol.claims.window import InvalidReason, Statement, Verdict
from dragon.protocol.streams import finding
from dragon.protocol.streams.chunks import ChunkHeader, tree_of
from dragon.protocol.streams.closing import HeaderClaim
from dragon.protocol.streams.finding import MAX_PROOF_BYTES, Finding
from dragon.protocol.streams.statements import ReadingsStatement, window_statement
from dragon.stark.airs.readings import ReadingsAir
from dragon.stark.bounds import largest_size
from dragon.stark.parameter_sets import BLOCK_ROWS, MAX_BLOCKS, SETS
from dragon.stark.prover.readings import prove_readings
from dragon.stark.reading_bounds import MAX_READINGS, ReadingBounds
from dragon.stark.ziggy import secret_preimage
from reading_rules import free_steps, make_readings
from streams import Owner, Window, make_owner

MEMBERS = make_members()
STEPS = make_readings(form="plain", pointer=None, most=4)
OWNER = make_owner(MEMBERS, readings=STEPS)  # 2 degrees of change at most, from -30 to 60
STATING = make_owner(MEMBERS, readings=free_steps(-100, 100, sum={"kind": "stated", "width": "4"}))
PLAIN = make_owner(MEMBERS)

FIRST = OWNER.window([b"1.5", b"2.25", b"3"])
SECOND = OWNER.window([b"3.5", b"4"], FIRST)
JUMP = OWNER.window([b"5.5", b"6"], FIRST)  # 2.5 degrees above the last reading of the first
AFTER_JUMP = OWNER.window([b"7"], JUMP)
SILENT = OWNER.window([b"4", b"broken"], FIRST)  # ends with a message without a number
STATED = STATING.window([b"7", b"-2", b"12"])
READINGS, NONE = HeaderClaim.READINGS, HeaderClaim.NONE
VALID = Finding(InvalidReason.NONE)


@cache
def proof(window_of: str) -> bytes:
    """The proof that the owner makes."""
    window: Window = globals()[window_of]
    return (STATING if window is STATED else OWNER).prove(window)


def judge(owner: Owner, window: Window, proven: bytes, **spoiled: Any) -> Finding:
    objects = {
        "descriptor": owner.descriptor,
        "header": window.header,
        "signature": window.signature,
        "chunks": window.chunks,
        "proof": proven,
        "previous": window.previous.header if window.previous else None,
        "now_ms": window.header.last_received_ms,
        "network_id": MEMBERS.committee.network_id,
    }
    return finding.judge(**{**objects, **spoiled})


def signed(owner: Owner, window: Window, **changes: Any) -> dict[str, Any]:
    changed = dataclasses.replace(window.header, **changes)
    return {"header": changed, "signature": owner.sign(changed)}


def under_root(window: Window, *chunks: ChunkHeader, **changes: Any) -> dict[str, Any]:
    """Other chunk headers, and a signed header with their root and their last commitment."""
    fields = {"chunks_root": tree_of(chunks).root(), "last": chunks[-1].commitment, **changes}
    return {**signed(OWNER, window, **fields), "chunks": chunks}


def prove_other(window: Window, statement: ReadingsStatement, header: bytes = b"") -> bytes:
    """A readings proof of the window under another statement than that of its descriptor."""
    openings = list(window.openings)
    if statement.carried is not None and window.previous:
        openings.insert(0, window.previous.openings[-1])
    return prove_readings(
        *(OWNER.descriptor.parameters, secret_preimage(OWNER.private_key), openings),
        *(statement.carried is not None, statement.bounds, header or window.header.hash),
        bytes(range(32)),
    )


# -- valid -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["FIRST", "SECOND", "STATED"])
def test_a_window_within_the_bounds_is_valid(name: str) -> None:
    window: Window = globals()[name]
    owner = STATING if name == "STATED" else OWNER

    assert window.header.claim is READINGS
    assert judge(owner, window, proof(name)) == VALID
    claim = VALID.claim(owner.descriptor, window.header, bytes(32), 0)
    assert claim.statement is Statement.READINGS
    assert claim.members()["statement"] == "readings"


@pytest.mark.parametrize("name", ["JUMP", "SILENT"])
def test_a_window_without_the_claim_is_as_valid_as_any(name: str) -> None:
    window: Window = globals()[name]

    assert window.header.claim is NONE
    assert judge(OWNER, window, proof(name)) == VALID
    assert VALID.claim(OWNER.descriptor, window.header, bytes(32), 0).statement is Statement.BLOCKS


def test_the_window_after_a_jump_claims_its_readings_again() -> None:
    assert AFTER_JUMP.header.claim is READINGS
    assert judge(OWNER, AFTER_JUMP, proof("AFTER_JUMP")) == VALID


def test_a_bad_last_reading_costs_the_next_window_its_claim_and_no_further_one() -> None:
    following = OWNER.window([b"4"], SILENT)
    later = OWNER.window([b"4.5"], following)

    assert (following.header.claim, later.header.claim) == (NONE, READINGS)
    assert judge(OWNER, following, OWNER.prove(following)) == VALID
    assert judge(OWNER, later, OWNER.prove(later)) == VALID


def test_an_owner_may_claim_nothing_at_will() -> None:
    """Then the same commitments are proven by a blocks proof, and the event says so."""
    modest = dataclasses.replace(FIRST, **signed(OWNER, FIRST, claim=NONE))

    assert judge(OWNER, modest, OWNER.prove(modest)) == VALID


def test_the_claim_about_a_stream_without_readings_keeps_its_bytes() -> None:
    window = PLAIN.window([b"a"])
    claim = VALID.claim(PLAIN.descriptor, window.header, bytes(32), 0)

    assert claim.statement is None
    assert "statement" not in claim.members()


# -- no downgrade, no other statement --------------------------------------------------------------


def test_a_blocks_proof_does_not_prove_readings() -> None:
    found = judge(OWNER, FIRST, OWNER.prove_blocks(FIRST))

    assert (found.verdict, found.reason) == (Verdict.INVALID, InvalidReason.STARK)


def test_a_readings_proof_does_not_prove_a_window_without_the_claim() -> None:
    modest = dataclasses.replace(FIRST, **signed(OWNER, FIRST, claim=NONE))
    statement = window_statement(OWNER.descriptor, FIRST.header, None)
    assert statement

    found = judge(OWNER, modest, prove_other(modest, statement))

    assert found.reason is InvalidReason.STARK


def test_a_window_cannot_be_relabelled_with_its_proof() -> None:
    for window, name, claim in ((JUMP, "JUMP", READINGS), (SECOND, "SECOND", NONE)):
        relabelled = signed(OWNER, window, claim=claim)

        assert judge(OWNER, window, proof(name), **relabelled).reason is InvalidReason.STARK


FIRST_BOUNDS = ReadingBounds(-30_000, 60_000, -2_000, 2_000, -90_000, 180_000)


@pytest.mark.parametrize(
    "changes",
    [
        {"step_low": -2_500, "step_high": 2_500},
        {"step_low": -1_000, "step_high": 1_000},
        {"low": -30_001},
        {"high": 60_001},
        {"sum_low": 6_750, "sum_high": 6_750},
    ],
    ids=["wider steps", "narrower steps", "lower", "higher", "a sum that nobody asked for"],
)
def test_a_proof_under_other_bounds_than_the_descriptors_is_invalid(changes: Any) -> None:
    """Narrower bounds are refused as well: there is one statement about a window."""
    bounds = dataclasses.replace(FIRST_BOUNDS, **changes)

    found = judge(OWNER, FIRST, prove_other(FIRST, ReadingsStatement(None, bounds)))

    assert found.reason is InvalidReason.STARK


def test_an_owner_with_a_jump_cannot_prove_the_claim_without_the_carried_reading() -> None:
    lying = dataclasses.replace(JUMP, **signed(OWNER, JUMP, claim=READINGS))
    bounds = ReadingBounds(-30_000, 60_000, -2_000, 2_000, -60_000, 120_000)
    without = prove_other(lying, ReadingsStatement(None, bounds))

    assert judge(OWNER, lying, without).reason is InvalidReason.STARK


def test_an_owner_with_a_jump_cannot_carry_another_chunk() -> None:
    """`last` of the window before is compared with its chunk headers when it is judged."""
    closer = OWNER.window([b"1.5", b"2.25", b"4"])
    assert closer.chunks[0] == FIRST.chunks[0]
    lying = dataclasses.replace(JUMP, **signed(OWNER, JUMP, claim=READINGS), previous=closer)
    bounds = ReadingBounds(-30_000, 60_000, -2_000, 2_000, -60_000, 120_000)
    carried = closer.chunks[-1].commitment
    forged = prove_other(lying, ReadingsStatement(carried, bounds))

    assert judge(OWNER, lying, forged, previous=FIRST.header).reason is InvalidReason.STARK
    relinked = signed(OWNER, FIRST, last=carried)
    assert judge(OWNER, FIRST, proof("FIRST"), **relinked).reason is InvalidReason.ROOT


def test_a_stated_sum_is_that_of_the_committed_readings() -> None:
    for stated in (10, 20):
        other = signed(STATING, STATED, stated=stated)

        assert judge(STATING, STATED, proof("STATED"), **other).reason is InvalidReason.STARK


# -- each fault by its reason ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"claim": None}, {"last": None}, {"stated": 0}, {"count": 4}],
    ids=["no claim", "no last", "a sum", "too many chunks"],
)
def test_a_header_against_its_descriptor_is_invalid(changes: dict[str, Any]) -> None:
    found = judge(OWNER, SECOND, b"", **signed(OWNER, SECOND, **changes))

    assert (found.verdict, found.reason) == (Verdict.INVALID, InvalidReason.HEADER)
    claim = found.claim(OWNER.descriptor, SECOND.header, bytes(32), 0)
    assert claim.statement is not None  # also of an invalid window of a stream with readings


def test_a_header_that_must_state_a_sum_and_does_not_is_invalid() -> None:
    found = judge(STATING, STATED, b"", **signed(STATING, STATED, stated=None))

    assert found.reason is InvalidReason.HEADER


@pytest.mark.parametrize("changes", [{"claim": READINGS}, {"last": bytes(32)}, {"stated": 0}])
def test_members_of_readings_in_a_stream_without_them_are_invalid(changes: dict[str, Any]) -> None:
    window = PLAIN.window([b"a"])

    found = judge(PLAIN, window, PLAIN.prove(window), **signed(PLAIN, window, **changes))

    assert found.reason is InvalidReason.HEADER


def test_a_window_after_one_without_a_last_commitment_is_invalid() -> None:
    lacking = dataclasses.replace(FIRST.header, last=None)
    linked = signed(OWNER, SECOND, previous=lacking.hash)

    found = judge(OWNER, SECOND, b"", **linked, previous=lacking)

    assert found.reason is InvalidReason.HEADER


def test_a_chunk_that_states_its_own_length_is_invalid() -> None:
    real = dataclasses.replace(SECOND.chunks[0], length=3)

    found = judge(OWNER, SECOND, b"", **under_root(SECOND, real, SECOND.chunks[1]))

    assert found.reason is InvalidReason.ROOT


def test_a_last_commitment_of_another_chunk_is_invalid() -> None:
    other = under_root(SECOND, *SECOND.chunks, last=SECOND.chunks[0].commitment)

    assert judge(OWNER, SECOND, b"", **other).reason is InvalidReason.ROOT


@pytest.mark.parametrize("claim", [READINGS, NONE])
@pytest.mark.parametrize("commitment", [b"\xff" * 32, OWNER.descriptor.identity])
def test_a_malformed_commitment_is_invalid(claim: HeaderClaim, commitment: bytes) -> None:
    spoiled = dataclasses.replace(SECOND.chunks[0], commitment=commitment)

    found = judge(OWNER, SECOND, b"", **under_root(SECOND, spoiled, SECOND.chunks[1], claim=claim))

    assert found.reason is InvalidReason.STATEMENT


@pytest.mark.parametrize("stated", [16, 305, -305], ids=["no multiple", "above", "below"])
def test_a_stated_sum_that_is_not_admissible_is_invalid(stated: int) -> None:
    found = judge(STATING, STATED, proof("STATED"), **signed(STATING, STATED, stated=stated))

    assert found.reason is InvalidReason.STATEMENT


def test_a_total_that_the_window_cannot_reach_is_invalid_under_the_claim() -> None:
    total = {"kind": "total", "low": "40", "high": "50"}
    owner = make_owner(MEMBERS, readings=free_steps(0, 10, sum=total))
    window = owner.window([b"7", b"9"])
    assert window.header.claim is NONE

    found = judge(owner, window, b"", **signed(owner, window, claim=READINGS))

    assert found.reason is InvalidReason.STATEMENT
    assert judge(owner, window, owner.prove(window)) == VALID


def test_the_first_fault_is_named() -> None:
    """Each stage violates one rule and all later ones."""
    no_output = dataclasses.replace(SECOND.chunks[1], commitment=b"\xff" * 32)
    beyond = dataclasses.replace(no_output, length=1)
    chunks = (SECOND.chunks[0], beyond)

    faults = [
        judge(OWNER, SECOND, b"", **under_root(SECOND, *chunks, claim=None)).reason,
        judge(OWNER, SECOND, b"", **under_root(SECOND, *chunks)).reason,
        judge(OWNER, SECOND, b"", **under_root(SECOND, SECOND.chunks[0], no_output)).reason,
        judge(OWNER, SECOND, b"").reason,
    ]

    assert [str(each) for each in faults] == ["header", "root", "statement", "stark"]


@pytest.mark.parametrize("name", [name for name, each in SETS.items() if each.slack == "strict"])
def test_readings_proofs_are_below_the_limit(name: str) -> None:
    air = ReadingsAir(
        ((0, 0, 0, 0), *((1, 0, 0, 0),) * MAX_READINGS),
        *(MAX_READINGS, False, ReadingBounds(0, 1, -1, 1, 0, MAX_READINGS), b""),
    )
    chosen = SETS[name].parameters(MAX_BLOCKS)

    assert largest_size(air, chosen, chosen.lengths(BLOCK_ROWS * MAX_BLOCKS)) <= MAX_PROOF_BYTES
