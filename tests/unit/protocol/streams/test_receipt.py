"""Receipts: every link is checked, tampering is reported by field, no other chunk is disclosed."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from committees import make_members
from dragon import errors
from dragon.encoding import canonical
from dragon.protocol import event, merkle
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.claims.window import InvalidReason, Verdict
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.log_entry import LogEntry, ProvenEntry
from dragon.protocol.streams.chunks import digest, opening, tree_of
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.receipt import MAX_RECEIPT_BYTES, Proven, Receipt
from dragon.protocol.streams.receipt_verification import (
    Check,
    Outcome,
    is_complete,
    refused,
    verify,
)
from dragon.stark.prover.blocks import hash_many
from streams import Window, make_owner

MEMBERS = make_members(experts=2)
COMMITTEE = MEMBERS.committee
OTHERS = make_members(name="another", experts=2)
OWNER = make_owner(MEMBERS)
READINGS = [value.to_bytes(4, "big") for value in (4217, 4218, 4199, 4217, 4230)]
WINDOW = OWNER.window(READINGS)
NEXT = OWNER.window([b"later"], WINDOW)
AT = COMMITTEE.rounds.start(150)
SIGNERS = ("operator_1", "operator_2", "operator_4")
Value = dict[str, Any]


@pytest.fixture(scope="module")
def proof() -> bytes:
    return OWNER.prove(WINDOW)


def certified(window: Window, proof: bytes, fault: InvalidReason = InvalidReason.NONE) -> Any:
    claim = Finding(fault).claim(
        OWNER.descriptor, window.header, hashlib.sha256(proof).digest(), AT
    )
    return MEMBERS.certify(claim, SIGNERS)


@pytest.fixture(scope="module")
def whole(proof: bytes) -> Receipt:
    """A receipt of the window's second chunk, with all optional members."""
    return receipt_for(1, proof)


def receipt_for(index: int, proof: bytes, fault: InvalidReason = InvalidReason.NONE) -> Receipt:
    voted = certified(WINDOW, proof, fault)
    receipt = Receipt(
        OWNER.descriptor,
        WINDOW.chunks[index],
        tuple(tree_of(WINDOW.chunks).inclusion(index)),
        WINDOW.header,
        WINDOW.signature,
        voted,
        opening=WINDOW.openings[index],
        proven=Proven(WINDOW.chunks, proof),
        endorsements=(endorsed("expert_1"), endorsed("expert_2", verdict=Verdict.INVALID)),
    )
    return receipt.completed(*logged(voted))


def endorsed(expert: str, **other: Any) -> Endorsement:
    """Return an endorsement; by default of windows 0 to 2, as valid."""
    said = {"stream": OWNER.descriptor.id, "first": 0, "last": 2, "verdict": Verdict.VALID}
    return MEMBERS.endorse(
        EndorsementClaim(**{**said, **other}, note=bytes(32), expert=expert, timestamp=AT)
    )


def logged(voted: Any) -> tuple[ProvenEntry, Any]:
    """Return the event as entry 2 of 4 of a log, and a checkpoint that covers it."""
    others = [MEMBERS.status(f"operator_{i}", Status.UP, 140 + i) for i in (1, 2, 3)]
    events = [*others[:2], voted, others[2]]
    tree = merkle.Tree(merkle.leaf_hash(event.leaf(each, 7 + at)) for at, each in enumerate(events))
    checkpoint = MEMBERS.certify(CheckpointClaim(4, tree.root(), AT + 60), SIGNERS)
    path = tuple(tree.inclusion(2))
    return ProvenEntry(LogEntry(2, voted, 9, AT + 2), 4, tree.root(), path), checkpoint


def outcomes(checks: list[Check]) -> dict[str, str]:
    return {check.name: str(check.outcome) for check in checks}


def decoded(value: Value) -> Receipt:
    """Decode a receipt from bytes, as its recipients do."""
    return Receipt.decode(canonical(value))


# -- valid receipts --------------------------------------------------------------------------------

NAMES = ["data", "commitment", "chunk", "window", "proof", "votes", "checkpoint", "experts"]


def test_all_checks_of_a_full_receipt_hold(whole: Receipt) -> None:
    checks = verify(COMMITTEE, decoded(whole.to_json()), READINGS[1])

    assert [check.name for check in checks] == NAMES
    assert set(outcomes(checks).values()) == {Outcome.HOLDS}
    assert is_complete(checks)
    assert not refused(checks)
    assert all(check.detail and not check.refusal for check in checks)


@pytest.mark.parametrize("index", range(len(READINGS)))
def test_every_chunk_of_a_window_has_a_receipt(index: int, proof: bytes) -> None:
    lean = dataclasses.replace(receipt_for(index, proof), proven=None)

    checks = verify(COMMITTEE, lean, READINGS[index])

    assert is_complete(checks)
    assert outcomes(checks)["proof"] == "absent"


def test_a_receipt_is_restored_from_its_bytes(whole: Receipt) -> None:
    for receipt in (
        whole,
        dataclasses.replace(whole, proven=None),
        dataclasses.replace(whole, opening=None),
        dataclasses.replace(whole, place=None),
        dataclasses.replace(whole, endorsements=()),
    ):
        assert Receipt.decode(receipt.encode()) == receipt
        assert len(receipt.encode()) < MAX_RECEIPT_BYTES


def test_a_receipt_without_a_checkpoint_is_incomplete_and_can_be_completed(
    whole: Receipt,
) -> None:
    early = dataclasses.replace(whole, place=None)

    checks = verify(COMMITTEE, early, READINGS[1])

    assert outcomes(checks) == {**dict.fromkeys(NAMES, "holds"), "checkpoint": "absent"}
    assert not refused(checks)
    assert not is_complete(checks)
    assert "run `dragon receipt complete` later" in checks[NAMES.index("checkpoint")].detail
    assert early.completed(*logged(early.event)) == whole


def test_without_data_the_data_check_is_absent(whole: Receipt) -> None:
    checks = verify(COMMITTEE, whole)

    assert outcomes(checks) == {**dict.fromkeys(NAMES, "holds"), "data": "absent"}
    assert is_complete(checks)


def test_without_an_opening_data_cannot_be_compared(whole: Receipt) -> None:
    closed = dataclasses.replace(whole, opening=None)

    checks = verify(COMMITTEE, closed)
    assert (outcomes(checks)["data"], outcomes(checks)["commitment"]) == ("absent", "absent")
    assert is_complete(checks)

    with_data = verify(COMMITTEE, closed, READINGS[1])
    assert with_data[0].outcome is Outcome.REFUSED  # the data cannot be compared
    assert with_data[0].fields == ("opening",)


@pytest.mark.parametrize("data", [b"", b"1234", READINGS[0], READINGS[1] + b"\0"])
def test_other_data_is_refused(whole: Receipt, data: bytes) -> None:
    checks = verify(COMMITTEE, whole, data)

    assert [check.name for check in refused(checks)] == ["data"]
    assert "data" in refused(checks)[0].fields


def test_the_receipt_of_another_committee_is_refused(whole: Receipt) -> None:
    names = [check.name for check in refused(verify(OTHERS.committee, whole))]

    assert names == ["window", "votes", "checkpoint", "experts"]


def test_a_window_that_was_found_invalid_has_no_receipt(proof: bytes) -> None:
    checks = verify(COMMITTEE, receipt_for(1, proof, InvalidReason.STARK))

    assert [check.name for check in refused(checks)] == ["votes"]
    assert "stark" in refused(checks)[0].detail


# -- tampering -------------------------------------------------------------------------------------


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every leaf of a JSON value."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in items:
            yield from places(item, (*path, name))
    else:
        yield path


def tampered(value: Any) -> Any:
    """Return another value of the same form."""
    if isinstance(value, int):
        return value + 1
    if value.startswith("0x"):
        return value[:-1] + ("0" if value[-1] != "0" else "1")
    words = {"valid": "invalid", "none": "stark", "standard": "strong", "operator_2": "operator_3"}
    return words.get(value, f"{value}x")


def refusals(value: Value) -> list[tuple[str, tuple[str, ...]]]:
    """Return the refused checks with their fields, or the error of decoding."""
    try:
        receipt = decoded(value)
    except errors.DragonError as error:
        return [("form", (str(error.facts["field"]),))]
    return [(check.name, check.fields) for check in refused(verify(COMMITTEE, receipt))]


def lean_receipt() -> Value:
    """Return a receipt without a proof, because thousands of verifications have to be fast."""
    lean = dataclasses.replace(receipt_for(1, b"a proof"), proven=None)
    return cast("Value", json.loads(lean.encode()))


LEAN = lean_receipt()
PLACES = list(places(LEAN))


def test_the_receipt_for_the_tampering_tests_is_valid() -> None:
    assert refusals(LEAN) == []
    assert len(PLACES) > 50


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_tampering_with_a_member_is_refused_by_its_name(place: tuple[Any, ...]) -> None:
    value = copy.deepcopy(LEAN)
    inner = value
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = tampered(inner[place[-1]])

    found = refusals(value)

    assert found
    name, fields = found[0]
    assert place[0] in fields, found
    assert len(fields) == 1 or set(fields) <= AMBIGUOUS[name]


# Only one of these members is wrong, but the receipt does not show which one.
AMBIGUOUS = {
    "data": {"data", "chunk", "opening"},
    "commitment": {"opening", "chunk"},
    "chunk": {"chunk", "path", "header"},
    "votes": {"header", "event", "descriptor"},
    "checkpoint": {"event", "position", "ledger_index", "inclusion"},
}


@pytest.mark.parametrize("name", list(LEAN))
def test_a_receipt_without_a_member_is_refused(name: str) -> None:
    value = {key: item for key, item in LEAN.items() if key != name}

    if name in {"opening", "endorsements"}:
        assert refusals(value) == []
    else:
        with pytest.raises(errors.MissingMember) as refused_:
            decoded(value)
        assert refused_.value.facts["member"] == name


def test_a_receipt_with_an_unknown_member_is_refused() -> None:
    with pytest.raises(errors.UnknownMember):
        decoded({**LEAN, "data": "0x"})


@pytest.mark.parametrize("name", ["chunks", "proof"])
def test_proof_and_chunk_headers_require_each_other(whole: Receipt, name: str) -> None:
    value = cast("Value", whole.to_json())
    del value[name]

    with pytest.raises(errors.MissingMember):
        decoded(value)


def test_a_document_larger_than_any_receipt_is_not_parsed() -> None:
    with pytest.raises(errors.TooLarge):
        Receipt.decode(b"[" * (MAX_RECEIPT_BYTES + 1))


def first_refusal(receipt: Receipt) -> tuple[str, tuple[str, ...]]:
    check = refused(verify(COMMITTEE, receipt))[0]
    return check.name, check.fields


def test_a_proof_that_was_tampered_with_is_refused(whole: Receipt, proof: bytes) -> None:
    spoiled = dataclasses.replace(whole, proven=Proven(WINDOW.chunks, proof[:-1] + b"\0"))

    assert first_refusal(spoiled) == ("proof", ("proof", "event"))


def test_votes_do_not_replace_the_verification_of_the_proof(whole: Receipt) -> None:
    """A dishonest majority certified a window with an invalid proof."""
    lied = bytes(70_000)
    receipt = dataclasses.replace(receipt_for(1, lied), proven=Proven(WINDOW.chunks, lied))

    assert first_refusal(receipt) == ("proof", ("proof",))


def test_other_chunk_headers_beside_the_proof_are_refused(whole: Receipt, proof: bytes) -> None:
    wrong = dataclasses.replace(WINDOW.chunks[0], length=5)
    for chunks in (WINDOW.chunks[:-1], (wrong, *WINDOW.chunks[1:])):
        spoiled = dataclasses.replace(whole, proven=Proven(chunks, proof))
        assert first_refusal(spoiled) == ("proof", ("chunks", "header"))


# -- parts of other receipts -----------------------------------------------------------------------


def test_votes_on_another_window_are_refused(whole: Receipt, proof: bytes) -> None:
    voted = certified(NEXT, proof)
    other = dataclasses.replace(whole, event=voted, proven=None).completed(*logged(voted))

    assert first_refusal(other) == ("votes", ("header", "event"))


def test_another_window_of_the_stream_does_not_prove_the_chunk(whole: Receipt) -> None:
    other = dataclasses.replace(
        whole, header=NEXT.header, header_signature=NEXT.signature, proven=None
    )

    assert first_refusal(other) == ("chunk", ("chunk",))


def test_another_stream_with_the_same_data_is_refused(whole: Receipt) -> None:
    twin = make_owner(MEMBERS, "sensor-2")

    other = dataclasses.replace(whole, descriptor=twin.descriptor, proven=None)

    assert first_refusal(other) == ("window", ("descriptor",))


def test_a_status_certificate_is_neither_votes_nor_checkpoint(whole: Receipt) -> None:
    status = MEMBERS.status("operator_1", Status.UP, 150)
    place = whole.place
    assert place is not None

    unvoted = dataclasses.replace(whole, event=status, proven=None)
    unplaced = dataclasses.replace(whole, place=dataclasses.replace(place, checkpoint=status))

    assert first_refusal(unvoted) == ("votes", ("event",))
    assert first_refusal(unplaced) == ("checkpoint", ("checkpoint",))


def test_endorsements_are_shown_for_both_verdicts(whole: Receipt) -> None:
    check = verify(COMMITTEE, whole)[-1]

    assert check.name == "experts"
    assert check.detail == (
        "expert_1: valid, expert_2: invalid; signed by each expert, but not certified"
    )
    silent = verify(COMMITTEE, dataclasses.replace(whole, endorsements=()))
    assert silent[-1].outcome is Outcome.ABSENT
    assert is_complete(silent)


@pytest.mark.parametrize("other", [{"first": 1}, {"stream": NEXT.header.hash}], ids=str)
def test_an_endorsement_of_other_windows_is_refused(whole: Receipt, other: dict[str, Any]) -> None:
    stray = dataclasses.replace(whole, endorsements=(endorsed("expert_1", **other),))

    assert first_refusal(stray) == ("experts", ("endorsements",))


def test_an_endorsement_by_an_operator_is_refused(whole: Receipt) -> None:
    claim = endorsed("expert_1").claim
    signed = Endorsement.sign(claim, MEMBERS.secrets["operator_1"], COMMITTEE.id)

    assert first_refusal(dataclasses.replace(whole, endorsements=(signed,))) == (
        "experts",
        ("endorsements",),
    )


def test_two_votes_are_not_a_majority_of_four(whole: Receipt) -> None:
    claim = whole.event.claim
    voted = MEMBERS.certify(claim, SIGNERS[:2])

    assert first_refusal(dataclasses.replace(whole, event=voted)) == ("votes", ("event",))


# -- what a receipt does not disclose --------------------------------------------------------------


def test_disclosing_one_chunk_discloses_no_other(proof: bytes) -> None:
    """A receipt contains no digest or salt of another chunk, and equal data looks different."""
    text = receipt_for(0, proof).encode().decode()

    assert WINDOW.openings[0].hex() in text
    for other in WINDOW.openings[1:]:
        assert other[:32] == WINDOW.openings[0][:32] or other[:32].hex() not in text
        assert other[32:].hex() not in text
    assert READINGS[0] == READINGS[3]
    assert WINDOW.chunks[0].commitment != WINDOW.chunks[3].commitment


def public_bytes(proof: bytes) -> bytes:
    """Return everything that operators and the ledger store of a window, and one receipt."""
    first = receipt_for(0, proof)
    hexadecimal = first.encode().replace(b'"', b" ").replace(b"0x", b" ").split()
    raw = [
        bytes.fromhex(word.decode())
        for word in hexadecimal
        if len(word) % 2 == 0 and set(word) <= set(b"0123456789abcdef")
    ]
    return b"".join(raw) + WINDOW.signature + proof


def test_a_dictionary_attack_on_the_other_chunks_finds_nothing(proof: bytes) -> None:
    """The attacker knows ten possible readings, and tries each with every public value as salt."""
    public, target = public_bytes(proof), WINDOW.chunks[1].commitment
    guesses = [value.to_bytes(4, "big") for value in range(4213, 4223)]
    assert READINGS[1] in guesses

    assert target in public
    assert not any(
        hashlib.sha256(guess).digest() in public for guess in guesses if guess != READINGS[0]
    )
    salts = {public[at : at + 28] for at in range(0, len(public), 32)} | {bytes(28)}
    known = WINDOW.openings[0][32:]
    tried = [digest(guess) + salt for guess in guesses for salt in [*sorted(salts)[:300], known]]
    tried += [digest(READINGS[1]) + salt for salt in salts]
    assert target not in hash_many(tried)


def test_the_same_attack_finds_an_unsalted_digest() -> None:
    guesses = [value.to_bytes(4, "big") for value in range(10_000)]
    bare = hashlib.sha256(READINGS[1]).digest()

    assert [guess for guess in guesses if digest(guess) == bare] == [READINGS[1]]


def test_the_same_attack_succeeds_with_the_salt_key() -> None:
    guesses = [value.to_bytes(4, "big") for value in range(4213, 4223)]
    tried = [opening(OWNER.salt_key, OWNER.descriptor.id, 1, digest(guess)) for guess in guesses]

    found = hash_many(tried).index(WINDOW.chunks[1].commitment)

    assert guesses[found] == READINGS[1]
