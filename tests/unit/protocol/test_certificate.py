"""Certificates: valid ones are accepted; others are refused by name, cheap checks first."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from typing import Any, cast

import pytest
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from committees import make_members, secret
from dragon import errors
from dragon.encoding import Json, canonical, parse, to_hex
from dragon.protocol import bls, certificate
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import kind_of
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import Committee
from dragon.protocol.messages import Suspicion

Oracle: Any = G2ProofOfPossession  # an independent implementation of the ciphersuite
FOUR = make_members(4, targets=1)
ROUND = 139
OUTAGE = StatusClaim("operator_2", Status.DOWN, FOUR.committee.rounds.start(ROUND))
OTHERS = ("operator_1", "operator_3", "operator_4")  # all operators except the subject
CERTIFICATE = FOUR.certify(OUTAGE, OTHERS)
Value = dict[str, Any]


def valid_json() -> Value:
    return cast("Value", copy.deepcopy(CERTIFICATE.to_json()))


def verify(value: Value, committee: Committee = FOUR.committee) -> None:
    """Decode and verify a certificate from bytes, as its recipients do."""
    Certificate.from_json(parse(canonical(value))).verify(committee)


def refusal_of(value: Value, committee: Committee = FOUR.committee) -> type[errors.DragonError]:
    with pytest.raises(errors.DragonError) as refused:
        verify(value, committee)
    return type(refused.value)


def refusal_of_certificate(
    spoiled: Certificate, committee: Committee = FOUR.committee
) -> type[errors.DragonError]:
    return refusal_of(cast("Value", spoiled.to_json()), committee)


# -- valid -----------------------------------------------------------------------------------------


def test_three_of_four_operators_certify_an_outage() -> None:
    CERTIFICATE.verify(FOUR.committee)


def test_a_certificate_is_restored_from_its_published_form() -> None:
    again = Certificate.from_json(parse(canonical(CERTIFICATE.to_json())))

    assert again == CERTIFICATE
    again.verify(FOUR.committee)


def test_the_published_form_has_exactly_these_members() -> None:
    assert CERTIFICATE.to_json() == {
        "kind": "status",
        "node_id": "operator_2",
        "status": "down",
        "timestamp": 1_732_522_695,
        "aggregated_signature": to_hex(CERTIFICATE.signature),
        "aggregated_public_key": to_hex(CERTIFICATE.public_key),
        "signers": ["operator_1", "operator_3", "operator_4"],
        "committee": to_hex(FOUR.committee.id),
    }


def test_a_target_may_be_certified_by_all_operators() -> None:
    FOUR.status("target_1", Status.DOWN, ROUND).verify(FOUR.committee)
    FOUR.status("target_1", Status.UP, ROUND, OTHERS).verify(FOUR.committee)


def test_the_order_of_attestations_does_not_matter() -> None:
    attestations = FOUR.attest(OUTAGE, reversed(OTHERS))

    assert certificate.assemble(OUTAGE, attestations, FOUR.committee) == CERTIFICATE


def test_a_committee_at_other_addresses_is_another_one() -> None:
    """Where a service is reached is worth a quorum's word too: a handover says it to everybody."""
    moved = dataclasses.replace(FOUR.committee, aggregators=())

    with pytest.raises(errors.WrongCommittee):
        CERTIFICATE.verify(moved)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("operators", [3, 4, 5, 7, 10])
def test_exactly_a_quorum_is_enough_and_one_fewer_is_not(operators: int, status: Status) -> None:
    members = make_members(operators)
    quorum = members.committee.quorum("status")
    able = [name for name in members.secrets if status is Status.UP or name != "operator_1"]

    members.status("operator_1", status, ROUND, able).verify(members.committee)
    members.status("operator_1", status, ROUND, able[:quorum]).verify(members.committee)
    with pytest.raises(errors.QuorumNotMet) as refused:
        members.status("operator_1", status, ROUND, able[: quorum - 1]).verify(members.committee)

    assert refused.value.facts == {"signers": quorum - 1, "needed": quorum}


@pytest.mark.parametrize("signers", list(itertools.combinations(FOUR.secrets, 3)), ids="-".join)
def test_any_quorum_certifies_that_a_target_is_up(signers: tuple[str, ...]) -> None:
    FOUR.status("target_1", Status.UP, ROUND, signers).verify(FOUR.committee)


@pytest.mark.parametrize(("rule", "needed"), [("byzantine", 5), ("majority", 4), (6, 6)])
def test_the_rule_of_the_committee_decides_what_a_quorum_is(rule: Any, needed: int) -> None:
    members = make_members(7, rules={"status": rule})
    able = list(members.secrets)[1:]

    members.status("operator_1", Status.DOWN, 1, able[:needed]).verify(members.committee)
    with pytest.raises(errors.QuorumNotMet):
        members.status("operator_1", Status.DOWN, 1, able[: needed - 1]).verify(members.committee)


# -- the oracle ------------------------------------------------------------------------------------


def oracle_accepts(value: Certificate) -> bool:
    keys = [FOUR.committee.keys[signer].raw for signer in value.signers]
    root = value.claim.root(FOUR.committee.id)
    return bool(Oracle.FastAggregateVerify(keys, root, value.signature))


def test_another_implementation_accepts_the_same_certificate() -> None:
    assert oracle_accepts(CERTIFICATE)


def test_another_implementation_refuses_the_same_forgery() -> None:
    tampered = dataclasses.replace(
        CERTIFICATE, claim=dataclasses.replace(OUTAGE, node_id="target_1")
    )

    assert refusal_of_certificate(tampered) is errors.BadSignature
    assert not oracle_accepts(tampered)


# -- the order of checks ---------------------------------------------------------------------------

TEN = make_members(10)
SUBJECT = "operator_9"
QUORUM = [f"operator_{number}" for number in (1, 10, 2, 3, 4, 5, 6)]  # seven, in order
STAGES = {
    "form": errors.UnknownMember,
    "kind": errors.UnknownKind,
    "committee": errors.WrongCommittee,
    "node": errors.UnknownNode,
    "round": errors.OffRound,
    "subject": errors.SubjectSigned,
    "stranger": errors.UnknownSigner,
    "twice": errors.DuplicateSigner,
    "order": errors.UnsortedSigners,
    "quorum": errors.QuorumNotMet,
    "key": errors.WrongAggregateKey,
    "point": errors.InvalidSignature,
    "signature": errors.BadSignature,
}


def spoiled_at(stages: set[str]) -> Value:
    """Return a certificate of ten operators with faults in these stages only."""
    committee = TEN.committee
    node = SUBJECT
    timestamp = committee.rounds.start(ROUND) + (1 if "round" in stages else 0)
    signers = QUORUM[:2] if "quorum" in stages else list(QUORUM)
    claim = StatusClaim(node, Status.DOWN, timestamp)
    attested = TEN.attest(claim, signers)
    if "signature" in stages:
        attested[signers[0]] = attested[signers[1]]
    value = cast("Value", certificate.assemble(claim, attested, committee).to_json())
    if "node" in stages:
        value["node_id"] = "nobody"
    if "subject" in stages:
        value["signers"].append(value["node_id"])
    if "stranger" in stages:
        value["signers"].append("stranger")
    if "twice" in stages:
        value["signers"].insert(0, value["signers"][0])
    if "order" in stages:
        value["signers"].reverse()
    if "key" in stages:
        value["aggregated_public_key"] = to_hex(committee.keys[SUBJECT].raw)
    if "point" in stages:
        value["aggregated_signature"] = to_hex(b"\xc0" + bytes(95))
    if "committee" in stages:
        value["committee"] = to_hex(bytes(32))
    if "kind" in stages:
        value["kind"] = "suspicion"
    if "form" in stages:
        value["note"] = "beside the point"
    return value


def test_the_certificate_without_faults_is_valid() -> None:
    verify(spoiled_at(set()), TEN.committee)


@pytest.mark.parametrize("stage", STAGES)
def test_a_single_fault_is_refused_by_name(stage: str) -> None:
    assert refusal_of(spoiled_at({stage}), TEN.committee) is STAGES[stage]


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "form"])
def test_cheap_checks_come_first(stage: str) -> None:
    """All stages from this one on have faults; the error is that of the first one."""
    stages = list(STAGES)

    value = spoiled_at(set(stages[stages.index(stage) :]))

    assert refusal_of(value, TEN.committee) is STAGES[stage]


def test_form_is_checked_first() -> None:
    """Only the kind is checked before, because it determines the form."""
    stages = [stage for stage in STAGES if stage != "kind"]

    assert refusal_of(spoiled_at(set(stages)), TEN.committee) is errors.UnknownMember
    assert refusal_of(spoiled_at(set(STAGES)), TEN.committee) is errors.UnknownKind


# -- attacks ---------------------------------------------------------------------------------------


def test_one_signer_cannot_list_others() -> None:
    alone = FOUR.certify(OUTAGE, ["operator_1"])
    claimed = dataclasses.replace(alone, signers=OTHERS)

    assert refusal_of_certificate(alone) is errors.QuorumNotMet
    assert refusal_of_certificate(claimed) is errors.WrongAggregateKey
    stated = dataclasses.replace(claimed, public_key=CERTIFICATE.public_key)
    assert refusal_of_certificate(stated) is errors.BadSignature


def test_one_signer_cannot_count_three_times() -> None:
    """Three times its key and signature do verify; only the list of signers shows the attack."""
    key, signature = FOUR.committee.keys["operator_1"], FOUR.attest(OUTAGE, ["operator_1"])
    tripled_key = bls.aggregate_keys([key] * 3)
    tripled = bls.aggregate_signatures([signature["operator_1"]] * 3)
    forged = dataclasses.replace(
        CERTIFICATE,
        signers=("operator_1",) * 3,
        public_key=tripled_key.raw,
        signature=tripled,
    )

    assert bls.verify(tripled_key, OUTAGE.root(FOUR.committee.id), tripled)
    assert refusal_of_certificate(forged) is errors.DuplicateSigner


def test_a_signer_that_is_listed_twice_is_refused() -> None:
    two = FOUR.certify(OUTAGE, ["operator_1", "operator_3"])

    padded = dataclasses.replace(two, signers=("operator_1", "operator_1", "operator_3"))

    assert refusal_of_certificate(padded) is errors.DuplicateSigner


def test_the_subject_may_not_sign_its_outage() -> None:
    with_subject = FOUR.certify(OUTAGE, ["operator_1", "operator_2", "operator_3"])
    everybody = FOUR.certify(OUTAGE, FOUR.secrets)

    assert refusal_of_certificate(with_subject) is errors.SubjectSigned
    assert refusal_of_certificate(everybody) is errors.SubjectSigned


def test_the_subject_may_sign_its_recovery() -> None:
    recovery = dataclasses.replace(OUTAGE, status=Status.UP)

    FOUR.certify(recovery, ["operator_1", "operator_2", "operator_3"]).verify(FOUR.committee)


def test_an_additional_unknown_signer_is_refused() -> None:
    padded = dataclasses.replace(CERTIFICATE, signers=(*OTHERS, "stranger"))

    assert refusal_of_certificate(padded) is errors.UnknownSigner


def test_an_unknown_signer_cannot_replace_an_operator() -> None:
    stranger = secret("stranger")
    root = OUTAGE.root(FOUR.committee.id)
    signatures = [*FOUR.attest(OUTAGE, OTHERS[:2]).values(), stranger.sign(root)]
    keys = [*(FOUR.committee.keys[name] for name in OTHERS[:2]), stranger.public_key()]
    forged = dataclasses.replace(
        CERTIFICATE,
        signature=bls.aggregate_signatures(signatures),
        public_key=bls.aggregate_keys(keys).raw,
    )

    named = dataclasses.replace(forged, signers=(*OTHERS[:2], "stranger"))

    assert refusal_of_certificate(forged) is errors.WrongAggregateKey
    assert refusal_of_certificate(named) is errors.UnknownSigner


def test_a_target_cannot_sign() -> None:
    padded = dataclasses.replace(CERTIFICATE, signers=(*OTHERS, "target_1"))

    assert refusal_of_certificate(padded) is errors.UnknownSigner


def test_a_certificate_of_another_committee_is_refused() -> None:
    """The operators and keys are the same, but the committee has another name."""
    elsewhere = make_members(4, targets=1, name="elsewhere")
    foreign = elsewhere.certify(OUTAGE, OTHERS)
    relabelled = dataclasses.replace(foreign, committee_id=FOUR.committee.id)

    foreign.verify(elsewhere.committee)
    assert refusal_of_certificate(foreign) is errors.WrongCommittee
    assert refusal_of_certificate(relabelled) is errors.BadSignature


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": FOUR.committee.rounds.start(ROUND + 1)},
        {"timestamp": FOUR.committee.rounds.start(ROUND - 1)},
        {"status": Status.UP},
        {"node_id": "target_1"},
    ],
    ids=["later round", "earlier round", "other status", "other node"],
)
def test_a_certificate_is_invalid_for_another_claim(changes: dict[str, Any]) -> None:
    claim = dataclasses.replace(OUTAGE, **changes)

    moved = dataclasses.replace(CERTIFICATE, claim=claim)

    assert refusal_of_certificate(moved) is errors.BadSignature


@pytest.mark.parametrize("timestamp", [0, FOUR.committee.rounds.genesis - 5, 2**53 - 1])
def test_a_timestamp_that_is_not_the_start_of_a_round_is_refused(timestamp: int) -> None:
    moved = dataclasses.replace(OUTAGE, timestamp=timestamp)

    assert refusal_of_certificate(FOUR.certify(moved, OTHERS)) is errors.OffRound


def test_a_suspicion_is_not_an_attestation() -> None:
    """Operators also sign suspicions. The kind in the root separates these from claims."""
    roots = {
        name: Suspicion(OUTAGE.node_id, OUTAGE.status, OUTAGE.timestamp, name).root(
            FOUR.committee.id
        )
        for name in OTHERS
    }
    signatures = [FOUR.secrets[name].sign(root) for name, root in roots.items()]

    forged = dataclasses.replace(CERTIFICATE, signature=bls.aggregate_signatures(signatures))

    assert refusal_of_certificate(forged) is errors.BadSignature


def test_a_stated_key_that_is_not_the_sum_of_the_signers_keys_is_refused() -> None:
    others = bls.aggregate_keys(FOUR.committee.keys[name] for name in list(FOUR.secrets)[:3])
    single = FOUR.committee.keys["operator_1"]

    for key in (others.raw, single.raw, b"\xc0" + bytes(47), bytes(48)):
        swapped = dataclasses.replace(CERTIFICATE, public_key=key)

        assert refusal_of_certificate(swapped) is errors.WrongAggregateKey


def test_a_signature_of_other_operators_is_refused() -> None:
    recovery = dataclasses.replace(OUTAGE, status=Status.UP)
    by_others = FOUR.certify(recovery, ["operator_1", "operator_2", "operator_3"])
    same_claim_by_fewer = FOUR.certify(OUTAGE, OTHERS[:2])

    for signature in (by_others.signature, same_claim_by_fewer.signature):
        swapped = dataclasses.replace(CERTIFICATE, signature=signature)

        assert refusal_of_certificate(swapped) is errors.BadSignature


@pytest.mark.parametrize("signers", list(itertools.permutations(OTHERS))[1:], ids="-".join)
def test_unsorted_signers_are_refused(signers: tuple[str, ...]) -> None:
    """Otherwise one certificate would have six encodings."""
    assert (
        refusal_of_certificate(dataclasses.replace(CERTIFICATE, signers=signers))
        is errors.UnsortedSigners
    )


def test_signers_are_sorted_by_characters() -> None:
    """operator_10 comes before operator_2."""
    certified = TEN.status("operator_9", Status.DOWN, ROUND, QUORUM)

    assert certified.signers == tuple(QUORUM)
    certified.verify(TEN.committee)


def test_a_certificate_without_signers_is_refused() -> None:
    empty = dataclasses.replace(
        CERTIFICATE, signers=(), signature=b"\xc0" + bytes(95), public_key=b"\xc0" + bytes(47)
    )

    assert refusal_of_certificate(empty) is errors.QuorumNotMet


@pytest.mark.parametrize(
    "signature",
    [
        b"\xc0" + bytes(95),
        bytes(96),
        b"\xff" * 96,
        b"\x80" + bytes(94) + b"\x02",  # on the curve, outside the subgroup
        CERTIFICATE.signature[:48] + b"\xff" * 48,
    ],
    ids=["infinity", "zeros", "ones", "outside the subgroup", "beyond the field"],
)
def test_a_signature_that_is_no_point_of_the_subgroup_is_refused(signature: bytes) -> None:
    spoiled = dataclasses.replace(CERTIFICATE, signature=signature)

    assert refusal_of_certificate(spoiled) is errors.InvalidSignature


# -- flipped bits and spoiled members --------------------------------------------------------------


def flips(raw: bytes) -> list[bytes]:
    """One bit flipped in each byte."""
    return [
        raw[:place] + bytes([raw[place] ^ 1 << place % 8]) + raw[place + 1 :]
        for place in range(len(raw))
    ]


def test_every_byte_of_the_signature_matters() -> None:
    for signature in flips(CERTIFICATE.signature):
        refusal = refusal_of_certificate(dataclasses.replace(CERTIFICATE, signature=signature))

        assert refusal in {errors.InvalidSignature, errors.BadSignature}


def test_every_byte_of_the_stated_key_matters() -> None:
    for key in flips(CERTIFICATE.public_key):
        refusal = refusal_of_certificate(dataclasses.replace(CERTIFICATE, public_key=key))

        assert refusal is errors.WrongAggregateKey


def test_every_byte_of_the_committee_id_matters() -> None:
    for committee_id in flips(CERTIFICATE.committee_id):
        refusal = refusal_of_certificate(
            dataclasses.replace(CERTIFICATE, committee_id=committee_id)
        )

        assert refusal is errors.WrongCommittee


def test_every_byte_of_the_published_form_matters() -> None:
    raw = canonical(CERTIFICATE.to_json())

    for place in range(len(raw)):
        for spoiled in (raw[place] ^ 1, ord("0"), ord("z")):
            if spoiled != raw[place]:
                text = raw[:place] + bytes([spoiled]) + raw[place + 1 :]
                assert refuses(text), text


def refuses(text: bytes) -> bool:
    try:
        Certificate.from_json(parse(text)).verify(FOUR.committee)
    except (errors.InvalidEncoding, errors.CertificateError):
        return True
    return False


@pytest.mark.parametrize("name", list(CERTIFICATE.to_json()))
def test_a_missing_member_is_refused(name: str) -> None:
    value = valid_json()

    del value[name]

    assert refusal_of(value) is errors.MissingMember


@pytest.mark.parametrize("name", ["note", "weight", "Signers", "signature", ""])
def test_an_unknown_member_is_refused(name: str) -> None:
    assert refusal_of(valid_json() | {name: 1}) is errors.UnknownMember


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("kind", "window", errors.MissingMember),
        ("kind", "endorsement", errors.UnknownKind),
        ("kind", "Status", errors.UnknownKind),
        ("kind", "", errors.UnknownValue),
        ("kind", 1, errors.WrongType),
        ("node_id", "Operator_2", errors.InvalidId),
        ("node_id", None, errors.WrongType),
        ("status", "unknown", errors.UnknownValue),
        ("status", True, errors.WrongType),
        ("timestamp", True, errors.NotAnInteger),
        ("timestamp", "1732522695", errors.WrongType),
        ("timestamp", -5, errors.IntegerOutOfRange),
        ("aggregated_signature", "0x" + "00" * 95, errors.InvalidHex),
        ("aggregated_signature", "0x" + "00" * 97, errors.InvalidHex),
        ("aggregated_signature", "0X" + "00" * 96, errors.InvalidHex),
        ("aggregated_signature", "0x" + "AB" * 96, errors.InvalidHex),
        ("aggregated_signature", None, errors.WrongType),
        ("aggregated_public_key", "0x" + "00" * 47, errors.InvalidHex),
        ("aggregated_public_key", 0, errors.WrongType),
        ("signers", "operator_1", errors.WrongType),
        ("signers", {"operator_1": 1}, errors.WrongType),
        ("signers", ["operator_1", 3], errors.WrongType),
        ("signers", ["operator_1", "Operator_3"], errors.InvalidId),
        ("signers", ["a"] * 4097, errors.UnknownValue),
        ("committee", "0x" + "00" * 31, errors.InvalidHex),
        ("committee", None, errors.WrongType),
    ],
)
def test_an_invalid_member_is_refused(
    name: str, value: Json, refusal: type[errors.DragonError]
) -> None:
    assert refusal_of(valid_json() | {name: value}) is refusal


@pytest.mark.parametrize("value", [None, 1, "status", [], [CERTIFICATE.to_json()]])
def test_a_certificate_must_be_an_object(value: Json) -> None:
    with pytest.raises(errors.WrongType):
        Certificate.from_json(value)


# -- assembling ------------------------------------------------------------------------------------


def test_assembling_does_not_verify() -> None:
    attestations = FOUR.attest(OUTAGE, OTHERS)
    attestations["operator_1"] = attestations["operator_3"]

    assembled = certificate.assemble(OUTAGE, attestations, FOUR.committee)

    assert refusal_of_certificate(assembled) is errors.BadSignature


@pytest.mark.parametrize("signature", [b"", bytes(96), b"\xc0" + bytes(95)])
def test_an_invalid_point_is_not_assembled(signature: bytes) -> None:
    attestations = FOUR.attest(OUTAGE, OTHERS) | {"operator_1": signature}

    with pytest.raises(errors.InvalidPoint):
        certificate.assemble(OUTAGE, attestations, FOUR.committee)


def test_a_certificate_without_attestations_is_not_assembled() -> None:
    with pytest.raises(errors.InvalidPoint):
        certificate.assemble(OUTAGE, {}, FOUR.committee)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"node_id": "operator_5"}, errors.UnknownNode),
        ({"timestamp": OUTAGE.timestamp + 1}, errors.OffRound),
    ],
)
def test_a_claim_is_checked_against_the_committee(
    changes: dict[str, Any], refusal: type[errors.CertificateError]
) -> None:
    kind_of(OUTAGE).check(OUTAGE, FOUR.committee)

    with pytest.raises(refusal):
        kind_of(OUTAGE).check(dataclasses.replace(OUTAGE, **changes), FOUR.committee)
