"""Submissions of windows: their JSON form and their signatures."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from committees import make_members
from dragon import errors
from dragon.encoding import Json, canonical, parse, to_hex
from dragon.protocol.streams.chunks import encode_chunks
from dragon.protocol.streams.submission import Submission, VoteRequest, WindowObjects
from streams import make_owner

Oracle: Any = G2ProofOfPossession  # an independent implementation of the ciphersuite
MEMBERS = make_members()
OWNER, STRANGER = make_owner(MEMBERS), make_owner(MEMBERS, "sensor-2")
WINDOW = OWNER.window([b"21.5", b"21.7"])
PROOF = b"a proof"
WHOLE, ANNOUNCED = OWNER.submission(WINDOW, PROOF), OWNER.submission(WINDOW)
OBJECTS = WindowObjects.of(WINDOW.header, encode_chunks(WINDOW.chunks), PROOF)


# -- JSON ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("submission", [WHOLE, ANNOUNCED], ids=["whole", "announced"])
def test_a_submission_is_restored_from_its_json(submission: Submission) -> None:
    back = Submission.from_json(parse(canonical(submission.to_json())))

    assert back == submission
    assert back.is_header_signed()
    assert (back.stream, back.number) == (OWNER.descriptor.id, 0)


def test_a_submission_has_exactly_these_members() -> None:
    announced = {"descriptor", "header", "header_signature"}

    assert ANNOUNCED.to_json().keys() == announced
    assert WHOLE.to_json().keys() == announced | {"chunks", "proof", "objects_signature"}


def test_objects_are_named_by_their_hashes() -> None:
    chunks = hashlib.sha256(encode_chunks(WINDOW.chunks)).digest()
    proof = hashlib.sha256(PROOF).digest()

    assert WHOLE.object_kinds() == {chunks: "chunks", proof: "proof"}
    assert ANNOUNCED.object_kinds() == {}


POINT = to_hex(bytes(96))
SPOILED: list[tuple[str, Json, type[errors.DragonError]]] = [
    ("descriptor", None, errors.WrongType),
    ("descriptor", {}, errors.MissingMember),
    ("descriptor", [], errors.WrongType),
    ("header", None, errors.WrongType),
    ("header", {}, errors.MissingMember),
    ("header", {**WINDOW.header.members(), "number": -1}, errors.IntegerOutOfRange),
    ("header", {**WINDOW.header.members(), "more": 1}, errors.UnknownMember),
    ("header_signature", None, errors.WrongType),
    ("header_signature", "0x", errors.InvalidHex),
    ("header_signature", POINT[:-2], errors.InvalidHex),
    ("header_signature", POINT + "00", errors.InvalidHex),
    ("chunks", None, errors.WrongType),
    ("chunks", to_hex(bytes(31)), errors.InvalidHex),
    ("chunks", "0x" + "AB" * 32, errors.InvalidHex),
    ("chunks", "00" * 32, errors.InvalidHex),
    ("proof", None, errors.WrongType),
    ("proof", 7, errors.WrongType),
    ("proof", to_hex(bytes(33)), errors.InvalidHex),
    ("objects_signature", None, errors.WrongType),
    ("objects_signature", to_hex(bytes(32)), errors.InvalidHex),
    ("kind", "window", errors.UnknownMember),
]


@pytest.mark.parametrize(("name", "value", "refusal"), SPOILED)
def test_an_invalid_submission_is_refused_by_name(
    name: str, value: Json, refusal: type[errors.DragonError]
) -> None:
    with pytest.raises(errors.DragonError) as refused:
        Submission.from_json({**WHOLE.to_json(), name: value})

    assert type(refused.value) is refusal
    if not isinstance(value, dict):  # an object that is present names its inner member
        assert str(refused.value.facts["member"]).endswith(name)


@pytest.mark.parametrize("name", list(WHOLE.to_json()))
def test_a_submission_has_all_object_members_or_none(name: str) -> None:
    lacking = {member: value for member, value in WHOLE.to_json().items() if member != name}

    with pytest.raises(errors.MissingMember) as refused:
        Submission.from_json(lacking)

    assert refused.value.facts["member"] == name


@pytest.mark.parametrize("value", [None, [], "submission", 1, True])
def test_a_submission_must_be_an_object(value: Json) -> None:
    with pytest.raises(errors.WrongType):
        Submission.from_json(value)


def test_a_descriptor_without_proof_of_possession_is_refused() -> None:
    unproven = {**OWNER.descriptor.to_json(), "proof_of_possession": to_hex(WINDOW.signature)}

    with pytest.raises(errors.UnprovenHeaderKey):
        Submission.from_json({**WHOLE.to_json(), "descriptor": unproven})


# -- signatures ------------------------------------------------------------------------------------


def test_objects_are_signed_with_a_separate_domain() -> None:
    text = canonical(
        {
            "stream": to_hex(OWNER.descriptor.id),
            "header": to_hex(WINDOW.header.hash),
            "chunks": to_hex(OBJECTS.chunks),
            "proof": to_hex(OBJECTS.proof),
        }
    )
    committee = MEMBERS.committee.id
    message = hashlib.sha256(b"datadragon/stream-objects/v1\x00" + committee + text).digest()

    assert OBJECTS.root(committee) == message
    key = OWNER.header_secret.public_key().raw
    assert Oracle.Verify(key, message, WHOLE.objects_signature)


def test_a_submission_of_the_stream_is_authentic() -> None:
    assert WHOLE.is_header_signed()
    assert WHOLE.are_objects_signed()


def test_an_announcement_names_nothing() -> None:
    assert ANNOUNCED.is_header_signed()
    assert not ANNOUNCED.are_objects_signed()


def by(owner: Any, objects: WindowObjects) -> bytes:
    signature: bytes = owner.header_secret.sign(objects.root(MEMBERS.committee.id))
    return signature


OTHER = OWNER.window([b"22.0"])
UNNAMED: dict[str, dict[str, Any]] = {
    "no signature": {"objects_signature": b""},
    "no point": {"objects_signature": b"\xff" * 96},
    "the point at infinity": {"objects_signature": b"\xc0" + bytes(95)},
    "that of the header": {"objects_signature": WINDOW.signature},
    "a stranger's": {"objects_signature": by(STRANGER, OBJECTS)},
    "of another window": {"objects_signature": OWNER.submission(OTHER, PROOF).objects_signature},
    "other chunks": {"objects": replace(OBJECTS, chunks=bytes(32))},
    "another proof": {"objects": replace(OBJECTS, proof=bytes(32))},
    "another header": {"objects": replace(OBJECTS, header=OTHER.header.hash)},
    "another stream": {"objects": replace(OBJECTS, stream=STRANGER.descriptor.id)},
    "chunks and proof exchanged": {
        "objects": replace(OBJECTS, chunks=OBJECTS.proof, proof=OBJECTS.chunks)
    },
    "another committee": {
        "descriptor": replace(
            OWNER.descriptor, network_id=make_members(name="else").committee.network_id
        )
    },
    "another key": {"descriptor": STRANGER.descriptor},
}


@pytest.mark.parametrize("name", list(UNNAMED))
def test_objects_that_the_stream_did_not_sign_are_refused(name: str) -> None:
    assert not replace(WHOLE, **UNNAMED[name]).are_objects_signed()


@pytest.mark.parametrize(
    "changes",
    [
        {"header_signature": bytes(96)},
        {"header_signature": STRANGER.sign(WINDOW.header)},
        {"header_signature": WHOLE.objects_signature},
        {"header": OTHER.header},
        {"descriptor": STRANGER.descriptor},
    ],
)
def test_a_header_that_the_stream_did_not_sign_is_refused(changes: dict[str, Any]) -> None:
    assert not replace(WHOLE, **changes).is_header_signed()


def test_objects_of_one_window_cannot_be_used_for_another() -> None:
    """The signed header hash is computed from the submitted header."""
    value = {**WHOLE.to_json(), "header": OTHER.header.members()}
    value["header_signature"] = to_hex(OTHER.signature)

    mixed = Submission.from_json(value)

    assert mixed.is_header_signed()
    assert not mixed.are_objects_signed()


# -- requests for votes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [VoteRequest(WHOLE, 1732522760), VoteRequest(WHOLE), VoteRequest(ANNOUNCED)],
    ids=["with a round", "without one", "announced"],
)
def test_a_request_for_a_vote_is_restored_from_its_json(request_: VoteRequest) -> None:
    assert VoteRequest.from_json(parse(canonical(request_.to_json()))) == request_


@pytest.mark.parametrize(
    ("timestamp", "refusal"),
    [
        (-1, errors.IntegerOutOfRange),
        (1 << 60, errors.IntegerOutOfRange),
        (True, errors.NotAnInteger),
        ("1", errors.WrongType),
        (None, errors.WrongType),
    ],
)
def test_a_round_is_decoded_strictly(timestamp: Json, refusal: type[errors.DragonError]) -> None:
    with pytest.raises(refusal):
        VoteRequest.from_json({**WHOLE.to_json(), "timestamp": timestamp})


def test_a_round_belongs_to_a_request_for_a_vote_on_objects_only() -> None:
    with pytest.raises(errors.UnknownMember):
        VoteRequest.from_json({**ANNOUNCED.to_json(), "timestamp": 1732522760})
    with pytest.raises(errors.UnknownMember):
        Submission.from_json(VoteRequest(WHOLE, 1732522760).to_json())
