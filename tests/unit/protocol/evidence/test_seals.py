"""Records and seals: what is hashed and signed, compared with independent implementations."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from py_ecc.bls import G2ProofOfPossession

from committees import make_members
from dragon import errors
from dragon.encoding import Json, canonical
from dragon.protocol.claims.base import kind_named
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.evidence.record import record_from_json
from dragon.protocol.evidence.seal import Seal, SealedRecord, SignedSeal
from evidence import CHAIN, NODE, Writer, answer, look

MEMBERS = make_members(4, targets=1)
ROUNDS = MEMBERS.committee.rounds
CLAIM = StatusClaim(NODE, Status.DOWN, ROUNDS.start(10))


def writer() -> Writer:
    made = Writer(MEMBERS)
    made.seal(look(Status.UP, ROUNDS.start(9)))
    return made.seal(look(Status.DOWN, ROUNDS.start(10)), answer(CLAIM, "attested"))


def test_hashes_and_signature_agree_with_hashlib_and_py_ecc() -> None:
    [_, signed], [one, two, three] = writer().seals, writer().records

    def leaf(sealed: SealedRecord) -> bytes:
        text = json.dumps(sealed.record.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(b"\x00" + text.encode()).digest()

    root = hashlib.sha256(b"\x01" + leaf(two) + leaf(three)).digest()
    members = {
        "operator": "operator_1",
        "chain": "0x" + CHAIN.hex(),
        "number": 1,
        "previous": "0x" + writer().seals[0].hash.hex(),
        "time_ms": 1000 * CLAIM.timestamp + 1000,
        "records": 2,
        "root": "0x" + root.hex(),
    }
    text = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    domain = b"datadragon/evidence-seal/v1\x00" + MEMBERS.committee.id
    message = hashlib.sha256(domain + text).digest()
    key = MEMBERS.committee.keys["operator_1"].raw

    assert (two.record.previous, three.record.previous) == (leaf(one), leaf(two))
    assert signed.hash == message
    assert G2ProofOfPossession.Verify(key, message, signed.signature)


def test_a_seal_is_no_attestation() -> None:
    """Its kind is no kind of claim, so no certificate can carry its signature."""
    assert kind_named(Seal.KIND) is None
    seal = writer().seals[0]
    roots = {seal.seal.root(MEMBERS.committee.id), CLAIM.root(MEMBERS.committee.id)}
    assert len(roots) == 2
    with pytest.raises(errors.BadSignature):
        SignedSeal(seal.seal, bytes(32), seal.signature).verify(
            MEMBERS.committee.keys["operator_1"]
        )


@pytest.mark.parametrize(
    "made", [*writer().seals, *writer().records], ids=lambda m: type(m).__name__
)
def test_decoding_reverses_encoding(made: SignedSeal | SealedRecord) -> None:
    assert type(made).from_json(made.to_json()) == made


RECORD: dict[str, Json] = answer(CLAIM, "sees_up").to_json()


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"kind": "status"}, errors.UnknownValue),
        ({"answer": "busy"}, errors.UnknownValue),  # such refusals are not recorded
        ({"status": "unknown"}, errors.UnknownValue),
        ({"detail": "x" * 257}, errors.UnknownValue),
        ({"detail": None}, errors.WrongType),
        ({"count": 0}, errors.IntegerOutOfRange),
        ({"last_ms": 0}, errors.IntegerOutOfRange),
        ({"previous": "0x"}, errors.InvalidHex),
        ({"reason": "timeout"}, errors.UnknownMember),
    ],
)
def test_an_invalid_record_is_refused(change: Any, refusal: type[Exception]) -> None:
    assert canonical(record_from_json(RECORD).to_json()) == canonical(RECORD)
    with pytest.raises(refusal):
        record_from_json({**RECORD, **change})


def test_a_seal_has_a_record() -> None:
    with pytest.raises(errors.IntegerOutOfRange):
        SignedSeal.from_json({**writer().seals[0].to_json(), "records": 0})


def test_equal_records_of_two_places_have_two_hashes() -> None:
    one = look(Status.UP, ROUNDS.start(9))

    assert one.hash != replace(one, sequence=1).hash
