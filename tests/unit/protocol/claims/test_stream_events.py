"""Events about streams: certificates of windows, and endorsements."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, cast

import pytest
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from committees import make_members, secret
from dragon import errors
from dragon.encoding import Json, canonical, parse, to_hex
from dragon.protocol import bls, certificate, event
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.window import InvalidReason, Statement, Verdict, WindowClaim
from dragon.protocol.committee import MAX_BATCH_BYTES
from dragon.protocol.committee_rules import largest_batch
from dragon.protocol.endorsement import Endorsement

Oracle: Any = G2ProofOfPossession  # an independent implementation of the ciphersuite
FOUR = make_members(4, experts=2)
AT = FOUR.committee.rounds.start(139)
STREAM, HEADER, PROOF = (hashlib.sha256(text).digest() for text in (b"stream", b"header", b"proof"))
WINDOW = WindowClaim(
    STREAM, 0, STREAM, HEADER, Verdict.VALID, InvalidReason.NONE, PROOF, "standard", AT
)
THREE = ("operator_1", "operator_2", "operator_3")
CERTIFICATE = FOUR.certify(WINDOW, THREE)
PRAISE = EndorsementClaim(STREAM, 0, 0, Verdict.VALID, PROOF, "expert_1", AT + 3)
ENDORSEMENT = FOUR.endorse(PRAISE)
Value = dict[str, Any]


def refusal_of(value: Value) -> type[errors.DragonError]:
    with pytest.raises(errors.DragonError) as refused:
        event.decode(parse(canonical(value))).verify(FOUR.committee)
    return type(refused.value)


# -- windows ---------------------------------------------------------------------------------------


def test_more_than_half_of_the_committee_can_certify_a_window() -> None:
    CERTIFICATE.verify(FOUR.committee)

    assert event.decode(parse(canonical(CERTIFICATE.to_json()))) == CERTIFICATE


@pytest.mark.parametrize(("operators", "needed"), [(3, 2), (4, 3), (5, 3), (6, 4), (7, 4), (10, 6)])
def test_half_of_the_committee_is_not_enough(operators: int, needed: int) -> None:
    members = make_members(operators)
    names = sorted(members.secrets)

    members.certify(WINDOW, names[:needed]).verify(members.committee)

    with pytest.raises(errors.QuorumNotMet):
        members.certify(WINDOW, names[: needed - 1]).verify(members.committee)


def test_a_window_is_certified_in_a_round() -> None:
    late = dataclasses.replace(WINDOW, timestamp=AT + 1)

    with pytest.raises(errors.OffRound):
        FOUR.certify(late, THREE).verify(FOUR.committee)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stream", to_hex(PROOF)),
        ("number", 1),
        ("previous", to_hex(PROOF)),
        ("header", to_hex(PROOF)),
        ("proof", to_hex(HEADER)),
        ("parameters", "strong"),
        ("timestamp", AT + 5),
    ],
)
def test_nothing_in_a_certified_window_can_be_changed(name: str, value: Json) -> None:
    assert refusal_of(CERTIFICATE.to_json() | {name: value}) is errors.BadSignature


def test_a_verdict_cannot_be_reversed() -> None:
    turned = CERTIFICATE.to_json() | {"verdict": "invalid", "reason": "stark"}

    assert refusal_of(turned) is errors.BadSignature


@pytest.mark.parametrize("name", list(CERTIFICATE.to_json()))
def test_a_certified_window_without_a_member_is_refused(name: str) -> None:
    value = CERTIFICATE.to_json()

    del value[name]

    expected = errors.MissingMember
    assert refusal_of(value) is expected


def test_a_certified_window_of_four_operators_takes_about_nine_hundred_bytes() -> None:
    by_all = FOUR.certify(WINDOW, sorted(FOUR.secrets))

    assert 850 < len(canonical(by_all.to_json())) < 1000


# -- endorsements ----------------------------------------------------------------------------------


def test_an_expert_signs_an_endorsement_alone() -> None:
    ENDORSEMENT.verify(FOUR.committee)

    assert event.decode(parse(canonical(ENDORSEMENT.to_json()))) == ENDORSEMENT
    root = PRAISE.root(FOUR.committee.id)
    assert event.root(ENDORSEMENT) == to_hex(root)
    assert Oracle.Verify(secret("expert_1").public_key().raw, root, ENDORSEMENT.signature)


def test_an_endorsement_of_another_committee_is_refused() -> None:
    other = make_members(4, experts=2, name="another")

    with pytest.raises(errors.WrongCommittee):
        other.endorse(PRAISE).verify(FOUR.committee)


@pytest.mark.parametrize("signer", ["expert_3", "operator_1"])
def test_only_experts_can_endorse(signer: str) -> None:
    """Operators are no experts, although the committee lists their keys."""
    with pytest.raises(errors.UnknownSigner) as refused:
        FOUR.endorse(dataclasses.replace(PRAISE, expert=signer)).verify(FOUR.committee)

    assert refused.value.facts == {"signer": signer}


def test_an_expert_cannot_sign_for_another_expert() -> None:
    forged = Endorsement.sign(
        dataclasses.replace(PRAISE, expert="expert_2"), secret("expert_1"), FOUR.committee.id
    )

    with pytest.raises(errors.BadSignature):
        forged.verify(FOUR.committee)


def test_a_signature_that_is_not_a_point_is_refused_by_name() -> None:
    with pytest.raises(errors.InvalidSignature):
        dataclasses.replace(ENDORSEMENT, signature=bytes(96)).verify(FOUR.committee)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stream", to_hex(PROOF)),
        ("last", 1),
        ("verdict", "invalid"),
        ("note", to_hex(STREAM)),
        ("expert", "expert_2"),
        ("timestamp", AT + 4),
    ],
)
def test_nothing_in_an_endorsement_can_be_changed(name: str, value: Json) -> None:
    assert refusal_of(ENDORSEMENT.to_json() | {name: value}) is errors.BadSignature


@pytest.mark.parametrize("name", sorted(set(ENDORSEMENT.to_json()) - {"kind"}))
def test_an_endorsement_has_exactly_its_members(name: str) -> None:
    value = ENDORSEMENT.to_json()

    assert refusal_of(value | {"signers": []}) is errors.UnknownMember
    del value[name]
    assert refusal_of(value) is errors.MissingMember


def test_a_certificate_cannot_contain_an_endorsement() -> None:
    """A quorum cannot sign for an expert."""
    claim = cast("Any", PRAISE)
    certified = certificate.assemble(claim, FOUR.attest(claim, THREE), FOUR.committee)

    with pytest.raises(errors.UnknownKind):
        Certificate.from_json(certified.to_json())
    assert refusal_of(cast("Value", certified.to_json())) is errors.MissingMember


# -- the largest event -----------------------------------------------------------------------------


@pytest.mark.parametrize("operators", [3, 4, 16])
def test_no_event_on_streams_is_larger_than_the_committee_computed(operators: int) -> None:
    members = make_members(operators, experts=1)
    computed = largest_batch(members.committee)
    most = 2**53 - 1
    window = WindowClaim(
        STREAM,
        most,
        HEADER,
        PROOF,
        Verdict.INVALID,
        InvalidReason.STATEMENT,
        PROOF,
        "standard",
        most,
        Statement.READINGS,
    )
    whole = Certificate(window, tuple(members.secrets), bytes(96), bytes(48), members.committee.id)
    claim = EndorsementClaim(STREAM, most, most, Verdict.INVALID, PROOF, "e" * 32, most)
    praise = Endorsement(claim, bytes(bls.SIGNATURE_BYTES), members.committee.id)

    sizes = [len(canonical([each.to_json()])) for each in (whole, praise)]

    assert computed - 32 < max(sizes) <= computed <= MAX_BATCH_BYTES
