"""Findings: each rule is violated alone, and missing knowledge never leads to a verdict."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from committees import make_members
from dragon import errors
from dragon.protocol.claims.window import WINDOW_SETS, InvalidReason, Verdict, WindowClaim
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams import finding
from dragon.protocol.streams.chunks import ChunkHeader, tree_of
from dragon.protocol.streams.finding import (
    MAX_CLOCK_LEAD_MS,
    MAX_PROOF_BYTES,
    Finding,
    check_announced,
)
from dragon.protocol.streams.window import WindowHeader
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.bounds import largest_size
from dragon.stark.parameter_sets import BLOCK_ROWS, MAX_BLOCKS, SETS
from streams import Window, make_owner

MEMBERS = make_members()
OWNER, STRANGER = make_owner(MEMBERS), make_owner(MEMBERS, "sensor-2")
FIRST = OWNER.window([b"a", b"bb", b"ccc"])
SECOND = OWNER.window([b"dddd"], FIRST)
NOW = SECOND.header.last_received_ms
Judge = Callable[..., Finding]


@pytest.fixture(scope="module")
def proof() -> bytes:
    return OWNER.prove(SECOND)


@pytest.fixture
def judge(proof: bytes) -> Judge:
    """Judge the second window, with some arguments replaced."""

    def judge(**spoiled: Any) -> Finding:
        objects = {
            "descriptor": OWNER.descriptor,
            "header": SECOND.header,
            "signature": SECOND.signature,
            "chunks": SECOND.chunks,
            "proof": proof,
            "previous": FIRST.header,
            "now_ms": NOW,
            "network_id": MEMBERS.committee.network_id,
        }
        return finding.judge(**{**objects, **spoiled})

    return judge


def refusal(judge: Judge, **spoiled: Any) -> str:
    with pytest.raises(errors.AttestationRefused) as refused:
        judge(**spoiled)
    return refused.value.reason


def signed(header: WindowHeader, **changes: Any) -> dict[str, Any]:
    """Return a changed header that the stream has signed."""
    changed = dataclasses.replace(header, **changes)
    return {"header": changed, "signature": OWNER.sign(changed)}


def under_root(*chunks: ChunkHeader, **changes: Any) -> dict[str, Any]:
    """Return other chunk headers, and a signed header with their root."""
    header = signed(SECOND.header, chunks_root=tree_of(chunks).root(), **changes)
    return {**header, "chunks": chunks}


# -- valid -----------------------------------------------------------------------------------------


def test_a_correct_window_is_valid(judge: Judge) -> None:
    assert judge() == Finding(InvalidReason.NONE)
    assert judge().verdict is Verdict.VALID


def test_the_first_window_follows_the_stream(judge: Judge) -> None:
    first = OWNER.prove(FIRST)
    objects = {"header": FIRST.header, "signature": FIRST.signature, "chunks": FIRST.chunks}

    assert judge(**objects, proof=first, previous=None).verdict is Verdict.VALID


def test_a_late_window_is_valid(judge: Judge) -> None:
    assert judge(now_ms=NOW + 10**12).verdict is Verdict.VALID


def test_another_proof_of_the_same_window_is_valid(judge: Judge, proof: bytes) -> None:
    again = OWNER.prove(SECOND, rho=bytes(32))

    assert again != proof
    assert judge(proof=again).verdict is Verdict.VALID


def test_the_claim_of_a_finding_names_its_objects(judge: Judge, proof: bytes) -> None:
    at = MEMBERS.committee.rounds.start(150)
    digest = hashlib.sha256(proof).digest()
    common = (OWNER.descriptor.id, 1, FIRST.header.hash, SECOND.header.hash)

    valid = judge().claim(OWNER.descriptor, SECOND.header, hashlib.sha256(proof).digest(), at)
    invalid = Finding(InvalidReason.ROOT).claim(
        OWNER.descriptor, SECOND.header, hashlib.sha256(proof).digest(), at
    )

    rest = (digest, "standard", at)
    assert valid == WindowClaim(*common, Verdict.VALID, InvalidReason.NONE, *rest)
    assert invalid == WindowClaim(*common, Verdict.INVALID, InvalidReason.ROOT, *rest)


# -- refusals: no verdict --------------------------------------------------------------------------


def test_a_header_without_the_streams_signature_is_refused(judge: Judge) -> None:
    for signature in (FIRST.signature, STRANGER.sign(SECOND.header), bytes(96), b""):
        assert refusal(judge, signature=signature) == RefusalReason.MALFORMED


def test_another_key_cannot_sign_for_a_stream(judge: Judge) -> None:
    """A fault in a header that the stream did not sign is no evidence against the stream."""
    wrong = dataclasses.replace(SECOND.header, number=9)

    forged = {"header": wrong, "signature": STRANGER.sign(wrong)}
    assert refusal(judge, **forged) == RefusalReason.MALFORMED
    assert refusal(judge, **forged, descriptor=STRANGER.descriptor) == RefusalReason.MALFORMED


def test_a_stream_of_another_committee_is_not_voted_on(judge: Judge) -> None:
    assert refusal(judge, network_id=bytes(32)) == RefusalReason.MALFORMED


@pytest.mark.parametrize("name", ["first_received_ms", "last_received_ms"])
def test_a_header_from_the_future_is_refused_for_clock(judge: Judge, name: str) -> None:
    ahead = signed(SECOND.header, **{name: NOW + MAX_CLOCK_LEAD_MS + 1})

    assert refusal(judge, **ahead) == RefusalReason.CLOCK
    assert judge(now_ms=NOW - MAX_CLOCK_LEAD_MS).verdict is Verdict.VALID
    assert refusal(judge, now_ms=NOW - MAX_CLOCK_LEAD_MS - 1) == RefusalReason.CLOCK


def test_a_window_with_an_unknown_predecessor_is_refused(judge: Judge) -> None:
    assert refusal(judge, previous=None) == RefusalReason.BEHIND
    assert refusal(judge, previous=SECOND.header) == RefusalReason.BEHIND
    fork = dataclasses.replace(FIRST.header, last_received_ms=FIRST.header.last_received_ms + 1)
    assert refusal(judge, previous=fork) == RefusalReason.BEHIND


def test_an_unknown_predecessor_is_reported_before_any_fault(judge: Judge) -> None:
    """Otherwise two voters could find different faults, depending on the windows they know."""
    assert refusal(judge, previous=None, proof=b"") == RefusalReason.BEHIND
    assert refusal(judge, **signed(SECOND.header, previous=bytes(32))) == RefusalReason.BEHIND


@pytest.mark.parametrize(
    "chunks",
    [(), FIRST.chunks, (*SECOND.chunks, *SECOND.chunks), SECOND.chunks * (MAX_CHUNKS + 1)],
    ids=["none", "others", "twice", "many"],
)
def test_chunk_headers_with_another_root_are_refused(
    judge: Judge, chunks: tuple[ChunkHeader, ...]
) -> None:
    """Anyone could submit them for the stream."""
    assert refusal(judge, chunks=chunks) == RefusalReason.MALFORMED


def test_a_too_large_proof_is_refused(judge: Judge) -> None:
    assert refusal(judge, proof=bytes(MAX_PROOF_BYTES + 1)) == RefusalReason.MALFORMED
    assert judge(proof=bytes(MAX_PROOF_BYTES)).reason is InvalidReason.STARK


@pytest.mark.parametrize("name", WINDOW_SETS)
def test_proofs_of_windows_are_below_the_limit(name: str) -> None:
    sizes = []
    for log in range(MAX_BLOCKS.bit_length()):
        air, chosen = BlocksAir(((0, 0, 0, 0),) * (1 << log), b""), SETS[name].parameters(1 << log)
        sizes.append(largest_size(air, chosen, chosen.lengths(BLOCK_ROWS << log)))

    assert max(sizes) <= MAX_PROOF_BYTES


# -- invalid: proven by the objects ----------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 0},
        {"number": 2},
        {"first": 2},
        {"first": 4},
        {"first_received_ms": FIRST.header.last_received_ms - 1},
        {"first_received_ms": NOW + 1},
    ],
)
def test_a_header_that_contradicts_itself_or_its_predecessor_is_invalid(
    judge: Judge, changes: dict[str, Any]
) -> None:
    found = judge(**signed(SECOND.header, **changes))

    assert (found.verdict, found.reason) == (Verdict.INVALID, InvalidReason.HEADER)
    assert found.detail


def test_a_stream_that_begins_in_its_middle_is_invalid(judge: Judge) -> None:
    begins = signed(SECOND.header, previous=OWNER.descriptor.id)

    assert judge(**begins, previous=None).reason is InvalidReason.HEADER


def test_a_header_linked_to_another_streams_window_is_invalid(judge: Judge) -> None:
    other = STRANGER.window([b"x"]).header
    linked = signed(SECOND.header, previous=other.hash, first=1)

    assert judge(**linked, previous=other).reason is InvalidReason.HEADER


def spoiled_chunk(**changes: Any) -> ChunkHeader:
    return dataclasses.replace(SECOND.chunks[0], **changes)


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (*SECOND.chunks, spoiled_chunk(sequence=4)),
        (spoiled_chunk(sequence=4),),
        (spoiled_chunk(received_ms=NOW - 1),),
    ],
    ids=["none", "more", "sequence", "time"],
)
def test_chunk_headers_under_the_root_that_contradict_the_header_are_invalid(
    judge: Judge, chunks: tuple[ChunkHeader, ...]
) -> None:
    assert judge(**under_root(*chunks)).reason is InvalidReason.ROOT


@pytest.mark.parametrize(
    "commitment", [b"\xff" * 32, OWNER.descriptor.identity], ids=["no output", "the identity"]
)
def test_malformed_commitments_are_invalid(judge: Judge, commitment: bytes) -> None:
    assert (
        judge(**under_root(spoiled_chunk(commitment=commitment))).reason is InvalidReason.STATEMENT
    )


def flipped(proof: bytes, at: int) -> bytes:
    return proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]


def test_a_proof_of_something_else_is_invalid(judge: Judge, proof: bytes) -> None:
    twisted = dataclasses.replace(
        SECOND, header=dataclasses.replace(SECOND.header, chunks_root=bytes(32))
    )
    proofs = [b"", proof[:-1], proof + b"\0", flipped(proof, 0), flipped(proof, len(proof) - 1)]
    proofs += [OWNER.prove(FIRST), OWNER.prove(twisted), bytes(len(proof))]

    for wrong in proofs:
        assert judge(proof=wrong).reason is InvalidReason.STARK


def test_a_proof_under_other_parameters_is_invalid(judge: Judge) -> None:
    """The descriptor determines the parameters, not the proof."""
    strong = make_owner(MEMBERS, parameters="strong")
    same: Window = dataclasses.replace(SECOND)

    assert judge(proof=strong.prove(same)).reason is InvalidReason.STARK


def test_a_proof_by_another_identity_is_invalid(judge: Judge) -> None:
    assert judge(proof=dataclasses.replace(STRANGER).prove(SECOND)).reason is InvalidReason.STARK


def test_the_first_fault_is_named(judge: Judge) -> None:
    """Each stage violates one rule and all later ones."""
    beyond = spoiled_chunk(sequence=9, commitment=b"\xff" * 32)
    no_output = spoiled_chunk(commitment=b"\xff" * 32)

    faults = [
        judge(**under_root(beyond, number=7), proof=b"").reason,
        judge(**under_root(beyond), proof=b"").reason,
        judge(**under_root(no_output), proof=b"").reason,
        judge(proof=b"").reason,
    ]

    assert faults == [
        InvalidReason.HEADER,
        InvalidReason.ROOT,
        InvalidReason.STATEMENT,
        InvalidReason.STARK,
    ]


# -- before the objects are fetched ----------------------------------------------------------------


def test_an_announcement_is_checked_without_any_object() -> None:
    check = partial(
        check_announced, OWNER.descriptor, now_ms=NOW, network_id=MEMBERS.committee.network_id
    )

    check(SECOND.header, SECOND.signature)
    with pytest.raises(errors.AttestationRefused):
        check(SECOND.header, FIRST.signature)
