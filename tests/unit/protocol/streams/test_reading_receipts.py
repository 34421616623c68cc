"""Receipts of streams with readings: what was certified, what was checked, and every refusal."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from committees import make_members
from dragon import errors
from dragon.encoding import canonical, to_hex
from dragon.protocol import event, merkle
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.window import InvalidReason, Statement
from dragon.protocol.log_entry import LogEntry, ProvenEntry
from dragon.protocol.streams.chunks import digest, tree_of
from dragon.protocol.streams.closing import HeaderClaim
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.receipt import Proven, Receipt
from dragon.protocol.streams.receipt_contents import disclosed_reading
from dragon.protocol.streams.receipt_verification import (
    Check,
    Outcome,
    is_complete,
    refused,
    verify,
    verify_receipt,
)
from dragon.stark.commitment import READING_SALT_BYTES, commit, reading_opening
from reading_rules import free_steps, make_readings
from streams import Owner, Window, make_owner

MEMBERS = make_members()
COMMITTEE = MEMBERS.committee
STEPS = make_readings(form="plain", pointer=None, most=4)
OWNER = make_owner(MEMBERS, readings=STEPS)
METER = make_owner(MEMBERS, readings=free_steps(0, 500, sum={"kind": "stated", "width": "0"}))
PLAIN = make_owner(MEMBERS)
FIRST = OWNER.window([b"1.5", b"2.25", b"3"])
SECOND = OWNER.window([b"3.5", b"4.125"], FIRST)
UNCLAIMED = OWNER.window([b"4", b"broken"], FIRST)
COUNTED = METER.window([b"100", b"312"])
AT = COMMITTEE.rounds.start(150)
SIGNERS = ("operator_1", "operator_2", "operator_4")
NAMES = ["data", "commitment", "chunk", "window", "proof", "votes", "readings", "checkpoint"]


@cache
def proof(name: str) -> bytes:
    window: Window = globals()[name]
    return (METER if window is COUNTED else OWNER).prove(window)


def receipt(owner: Owner, window: Window, proven: bytes, index: int = 0, **claimed: Any) -> Receipt:
    """A complete receipt with all members. Args: `claimed`, members of the event to change."""
    claim = Finding(InvalidReason.NONE).claim(
        owner.descriptor, window.header, hashlib.sha256(proven).digest(), AT
    )
    voted = MEMBERS.certify(replace(claim, **claimed), SIGNERS)
    chunk, before = window.chunks[index], window.previous
    made = Receipt(
        *(owner.descriptor, chunk, tuple(tree_of(window.chunks).inclusion(index))),
        *(window.header, window.signature, voted),
        opening=window.openings[index],
        proven=Proven(window.chunks, proven, before.header if before else None),
    )
    return made.completed(*logged(voted))


def logged(voted: Any) -> tuple[ProvenEntry, Any]:
    """The event as the only entry of a log, and a checkpoint that covers it."""
    tree = merkle.Tree([merkle.leaf_hash(event.leaf(voted, 9))])
    checkpoint = MEMBERS.certify(CheckpointClaim(1, tree.root(), AT + 60), SIGNERS)
    return ProvenEntry(LogEntry(0, voted, 9, AT + 2), 1, tree.root(), ()), checkpoint


def checks_of(document: Receipt, data: bytes | None = None) -> dict[str, Check]:
    """The checks by name, of the receipt as its recipients decode it."""
    decoded = Receipt.decode(document.encode())
    assert decoded == document
    return {check.name: check for check in verify(COMMITTEE, decoded, data)}


def refusal(document: Receipt, data: bytes | None = None) -> Check:
    """The only refused check."""
    [wrong] = refused(list(checks_of(document, data).values()))
    return wrong


# -- what a receipt shows --------------------------------------------------------------------------


def test_a_receipt_shows_what_was_certified_of_its_window() -> None:
    checks = checks_of(receipt(OWNER, SECOND, proof("SECOND"), 1), b"4.125")

    assert [*checks] == [*NAMES, "experts"]
    assert {checks[name].outcome for name in NAMES} == {Outcome.HOLDS}
    assert is_complete(list(checks.values()))
    assert checks["readings"].detail == (
        "all 2 committed readings of the window are from -30 to 60 °C, each differs from the one "
        "before by -2 to 2 °C, as the operators verified"
    )
    assert "all 2 committed readings of the window are from -30 to 60 °C" in checks["proof"].detail
    assert "the committed reading, checked against the data, is 4.125 °C" in checks["data"].detail
    assert "(at most 64 bytes)" in checks["chunk"].detail


def test_an_exact_sum_is_shown() -> None:
    checks = checks_of(receipt(METER, COUNTED, proof("COUNTED")))

    assert "from 0 to 500 °C, their sum is 412 °C" in checks["readings"].detail


def test_a_window_without_the_claim_is_shown_as_such() -> None:
    checks = checks_of(receipt(OWNER, UNCLAIMED, proof("UNCLAIMED"), 1), b"broken")

    assert checks["readings"].outcome is Outcome.ABSENT
    assert checks["readings"].detail == "the window carries no claim about its readings"
    assert checks["proof"].outcome is Outcome.HOLDS
    assert "readings" not in checks["proof"].detail
    assert is_complete(list(checks.values()))


def test_without_data_the_reading_is_the_owners_word() -> None:
    document = receipt(OWNER, SECOND, proof("SECOND"))
    checks = checks_of(document)

    assert checks["data"].outcome is Outcome.ABSENT
    assert "the committed reading is 3.5 °C" in checks["commitment"].detail
    assert "checked" not in checks["commitment"].detail
    assert disclosed_reading(document) == 3500
    assert disclosed_reading(replace(document, opening=None)) is None


def test_a_message_without_a_number_has_a_receipt() -> None:
    document = receipt(OWNER, UNCLAIMED, proof("UNCLAIMED"), 1)
    checks = checks_of(document, b"broken")

    assert "is none (a message without a number)" in checks["data"].detail
    assert disclosed_reading(document) is None


def test_a_receipt_without_the_proof_needs_no_previous_header() -> None:
    lean = replace(receipt(OWNER, SECOND, proof("SECOND")), proven=None)

    assert checks_of(lean)["proof"].outcome is Outcome.ABSENT
    assert checks_of(lean)["readings"].outcome is Outcome.HOLDS
    assert b"previous_header" not in lean.encode()


def test_receipts_of_streams_without_readings_keep_their_members_and_checks() -> None:
    window = PLAIN.window([b"abc"])
    document = receipt(PLAIN, window, PLAIN.prove(window))
    checks = checks_of(document, b"abc")

    assert [*checks] == [name for name in [*NAMES, "experts"] if name != "readings"]
    assert not {"previous_header", "statement"} & set(document.to_json())
    assert b"statement" not in document.encode()


# -- disclosure ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason", "fields"),
    [
        (b"4.1250", "digest", ("data", "opening")),
        (b" " * 65, "length", ("data",)),
    ],
)
def test_other_data_is_refused(data: bytes, reason: str, fields: tuple[str, ...]) -> None:
    wrong = refusal(receipt(OWNER, SECOND, proof("SECOND"), 1), data)

    assert (wrong.name, wrong.fields) == ("data", fields)
    assert f"({reason})" in wrong.detail


def lying(data: bytes, value: int | None) -> Receipt:
    """A receipt of an owner who has committed to another number than that of the data."""
    salt = bytes(range(READING_SALT_BYTES))
    stored = value if value is not None else -(1 << 59)
    opened = reading_opening(digest(data), salt, stored)
    honest = OWNER.window([b"7"])
    chunk = replace(honest.chunks[0], commitment=commit(opened))
    header = replace(honest.header, chunks_root=tree_of([chunk]).root(), last=chunk.commitment)
    if value is None:
        header = replace(header, claim=HeaderClaim.NONE)
    lie = replace(
        honest, header=header, signature=OWNER.sign(header), chunks=(chunk,), openings=(opened,)
    )
    return receipt(OWNER, lie, OWNER.prove(lie))


@pytest.mark.parametrize(
    ("data", "value", "reason"),
    [
        (b"61.5", 7_000, "number"),
        (b"broken", 7_000, "no_number"),
        (b"61.5", None, "uncommitted"),
    ],
)
def test_a_committed_number_that_is_not_in_the_data_is_found_on_disclosure(
    data: bytes, value: int | None, reason: str
) -> None:
    """The proof is true of the committed number, and the operators certified it."""
    document = lying(data, value)
    assert not refused(list(checks_of(document).values()))

    wrong = refusal(document, data)

    assert (wrong.name, wrong.fields) == ("data", ("opening",))
    assert f"({reason})" in wrong.detail
    with pytest.raises(errors.ReceiptRefused, match=reason):
        verify_receipt(document, COMMITTEE, data)


def test_another_number_does_not_open_the_commitment() -> None:
    document = receipt(OWNER, SECOND, proof("SECOND"))
    assert document.opening
    other = document.opening[:-8] + (int.from_bytes(document.opening[-8:], "big") + 1).to_bytes(
        8, "big"
    )

    wrong = refusal(replace(document, opening=other))

    assert (wrong.name, wrong.fields) == ("commitment", ("opening",))
    assert "(commitment)" in wrong.detail


def test_a_number_with_a_top_bit_is_refused() -> None:
    """The proof would speak of another number than a reader of the opening."""
    document = receipt(OWNER, SECOND, proof("SECOND"))
    assert document.opening
    spoiled = bytearray(document.opening)
    spoiled[-8] |= 0x10

    wrong = refusal(replace(document, opening=bytes(spoiled)))

    assert (wrong.name, wrong.fields) == ("commitment", ("opening",))
    assert "(top_bits)" in wrong.detail


# -- the event's statement -------------------------------------------------------------------------


@pytest.mark.parametrize("stated", [None, Statement.BLOCKS])
def test_an_event_must_state_the_readings_that_the_header_claims(stated: Statement | None) -> None:
    wrong = refusal(receipt(OWNER, SECOND, proof("SECOND"), statement=stated))

    assert (wrong.name, wrong.fields) == ("votes", ("event",))
    assert "must state the statement readings" in wrong.detail


@pytest.mark.parametrize("member", ["event", "header_signature"])
def test_nothing_is_said_of_the_operators_if_their_votes_or_the_window_are_refused(
    member: str,
) -> None:
    document = receipt(OWNER, SECOND, proof("SECOND"))
    forged: dict[str, Any] = {
        "event": replace(document.event, signature=bytes(96)),
        "header_signature": bytes(96),
    }
    checks = checks_of(replace(document, **{member: forged[member]}))

    assert checks["readings"].outcome is Outcome.ABSENT
    assert "operators verified" not in checks["readings"].detail


@pytest.mark.parametrize("stated", [None, Statement.READINGS])
def test_an_event_must_not_state_readings_that_the_header_does_not_claim(
    stated: Statement | None,
) -> None:
    wrong = refusal(receipt(OWNER, UNCLAIMED, proof("UNCLAIMED"), statement=stated))

    assert (wrong.name, wrong.fields) == ("votes", ("event",))
    assert "must state the statement blocks" in wrong.detail


@pytest.mark.parametrize("stated", list(Statement))
def test_an_event_about_a_stream_without_readings_states_nothing(stated: Statement) -> None:
    window = PLAIN.window([b"abc"])

    wrong = refusal(receipt(PLAIN, window, PLAIN.prove(window), statement=stated))

    assert (wrong.name, wrong.fields) == ("votes", ("event",))
    assert "must state no statement" in wrong.detail


# -- header, chunk and proof -----------------------------------------------------------------------


def resigned(owner: Owner, window: Window, **changes: Any) -> Window:
    header = replace(window.header, **changes)
    return replace(window, header=header, signature=owner.sign(header))


def test_a_header_against_its_descriptor_is_refused() -> None:
    """Even if a quorum certified it."""
    without = resigned(OWNER, SECOND, claim=None)
    unmarked = replace(
        receipt(OWNER, without, proof("SECOND"), statement=Statement.BLOCKS), proven=None
    )

    wrong = refusal(unmarked)

    assert (wrong.name, wrong.fields) == ("window", ("header", "descriptor"))
    assert "lacks the member claim" in wrong.detail


def test_a_sum_that_is_not_possible_is_refused() -> None:
    impossible = resigned(METER, COUNTED, stated=1001)
    document = replace(receipt(METER, impossible, proof("COUNTED")), proven=None)

    wrong = refusal(document)

    assert (wrong.name, wrong.fields) == ("readings", ("header", "descriptor"))


def test_a_chunk_that_states_its_own_length_is_refused() -> None:
    chunks = (replace(SECOND.chunks[0], length=3), SECOND.chunks[1])
    changed = resigned(OWNER, replace(SECOND, chunks=chunks), chunks_root=tree_of(chunks).root())
    wrong = refused(list(checks_of(receipt(OWNER, changed, proof("SECOND"))).values()))

    assert [(each.name, each.fields) for each in wrong] == [
        ("chunk", ("chunk", "descriptor")),
        ("proof", ("chunks", "header")),
    ]


def test_a_blocks_proof_does_not_prove_readings() -> None:
    wrong = refusal(receipt(OWNER, SECOND, OWNER.prove_blocks(SECOND)))

    assert (wrong.name, wrong.fields) == ("proof", ("proof",))


def test_the_proof_of_a_carried_window_needs_the_previous_header() -> None:
    document = receipt(OWNER, SECOND, proof("SECOND"))
    assert document.proven

    lacking = replace(document, proven=replace(document.proven, previous=None))
    other = replace(FIRST.header, last=SECOND.chunks[0].commitment)
    swapped = replace(document, proven=replace(document.proven, previous=other))

    for spoiled in (lacking, swapped):
        wrong = refusal(spoiled)
        assert (wrong.name, wrong.fields) == ("proof", ("previous_header",))


def test_a_previous_header_belongs_to_a_proof() -> None:
    value = receipt(OWNER, SECOND, proof("SECOND")).to_json()
    del value["proof"], value["chunks"]

    with pytest.raises(errors.MissingMember):
        Receipt.decode(canonical(value))


def test_a_malformed_previous_header_is_named() -> None:
    value = receipt(OWNER, SECOND, proof("SECOND")).to_json()
    value["previous_header"] = {"stream": to_hex(bytes(32))}

    with pytest.raises(errors.MissingMember) as broken:
        Receipt.decode(canonical(value))
    assert broken.value.facts["field"] == "previous_header"
