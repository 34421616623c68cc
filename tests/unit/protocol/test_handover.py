"""Handovers: what both committees sign, and what the next one may be refused for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from committees import make_members, secret
from dragon import errors
from dragon.encoding import canonical
from dragon.protocol import bls, event
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.handover import Acceptance, Handover, assemble, newcomers
from epochs import hand_over, successor

OLD = make_members(4)
NEW = successor(OLD, None, add=["operator_5"], rotate={"operator_2": secret("operator_2 again")})
AT = OLD.committee.rounds.start(100)
FACTS: dict[str, Any] = {"size": 7, "root": b"\x07" * 32, "timestamp": AT}
HANDOVER = hand_over(OLD, NEW, **FACTS)
QUORUM_WITH_NEWCOMERS = ["operator_1", "operator_2", "operator_3", "operator_5"]


def reason(handover: Handover) -> object:
    """Return why the next committee has not accepted."""
    with pytest.raises(errors.NotAccepted) as refused:
        handover.verify_acceptance(OLD.committee, NEW.committee)
    return refused.value.facts["reason"]


def test_a_handover_is_verified_by_both_committees() -> None:
    HANDOVER.verify(OLD.committee)
    HANDOVER.verify_acceptance(OLD.committee, NEW.committee)

    assert newcomers(OLD.committee, NEW.committee) == {"operator_2", "operator_5"}


def test_a_handover_is_restored_as_an_event() -> None:
    value = json.loads(canonical(HANDOVER.to_json()))

    assert event.decode(value) == HANDOVER
    assert Handover.from_json(value) == HANDOVER


def test_handover_roots_differ_for_both_sides() -> None:
    claim = HANDOVER.claim
    old, new = OLD.committee.id, NEW.committee.id
    roots = {
        claim.root(old),
        claim.root(new),
        claim.acceptance.root(old),
        claim.acceptance.root(new),
    }

    assert claim.members() == claim.acceptance.members()
    assert len(roots) == 4


def test_a_quorum_with_all_newcomers_is_enough() -> None:
    handover = hand_over(OLD, NEW, **FACTS, accepted_by=QUORUM_WITH_NEWCOMERS)

    handover.verify_acceptance(OLD.committee, NEW.committee)


@pytest.mark.parametrize("absent", ["operator_2", "operator_5"], ids=["rotated", "new"])
def test_acceptance_without_the_newcomer(absent: str) -> None:
    present = [name for name in NEW.secrets if name != absent]

    assert reason(hand_over(OLD, NEW, **FACTS, accepted_by=present)) == "newcomer_missing"


def test_an_acceptance_by_too_few() -> None:
    few = ["operator_1", "operator_2", "operator_5"]

    assert reason(hand_over(OLD, NEW, **FACTS, accepted_by=few)) == "quorum_not_met"


def accepted(handover: Handover, **changes: Any) -> Handover:
    return replace(handover, acceptance=replace(handover.acceptance, **changes))


def test_an_acceptance_with_wrong_signers() -> None:
    signers = HANDOVER.acceptance.signers

    assert reason(accepted(HANDOVER, signers=(*signers, "operator_9"))) == "unknown_signer"
    assert reason(accepted(HANDOVER, signers=(signers[0], *signers))) == "duplicate_signer"
    assert reason(accepted(HANDOVER, signers=signers[::-1])) == "unsorted_signers"


def test_old_key_of_a_rotated_id() -> None:
    """The key that `operator_2` had before does not accept in its name."""
    accepted_root = HANDOVER.claim.acceptance.root(NEW.committee.id)
    keys = {**NEW.secrets, "operator_2": OLD.secrets["operator_2"]}
    signatures = [keys[name].sign(accepted_root) for name in HANDOVER.acceptance.signers]
    forged = accepted(
        HANDOVER,
        signature=bls.aggregate_signatures(signatures),
        public_key=bls.aggregate_keys(key.public_key() for key in keys.values()).raw,
    )

    assert reason(forged) == "wrong_aggregate_key"
    assert reason(accepted(forged, public_key=HANDOVER.acceptance.public_key)) == "bad_signature"


def test_an_acceptance_of_other_members_is_refused() -> None:
    later = hand_over(OLD, NEW, **{**FACTS, "timestamp": AT + 5})

    assert reason(Handover(HANDOVER.certificate, later.acceptance)) == "bad_signature"


def test_the_certificate_is_no_acceptance() -> None:
    certified = HANDOVER.certificate
    copied = Acceptance(certified.signers, certified.signature, certified.public_key)

    assert reason(Handover(certified, copied)) == "newcomer_missing"


def test_a_handover_to_another_committee_is_not_accepted_by_this_one() -> None:
    other = successor(OLD, None, add=["operator_6"])

    with pytest.raises(errors.NotAccepted) as refused:
        HANDOVER.verify_acceptance(OLD.committee, other.committee)
    assert refused.value.facts["reason"] == "wrong_committee"


def test_a_handover_that_names_another_epoch_is_not_accepted() -> None:
    """Both committees sign it, and it names the file by its hash."""
    claim = replace(HANDOVER.claim, epoch=2)
    accepted = claim.acceptance.root(NEW.committee.id)
    signatures = {name: key.sign(accepted) for name, key in NEW.secrets.items()}
    other = assemble(OLD.certify(claim, OLD.secrets), signatures, NEW.committee)
    other.verify(OLD.committee)

    assert reason(other) == "wrong_committee"


def test_handover_of_another_network() -> None:
    others = make_members(4, name="another")
    foreign = hand_over(others, successor(others, None), **FACTS)

    with pytest.raises(errors.WrongCommittee):
        foreign.verify(OLD.committee)


def test_the_old_committee_needs_its_quorum() -> None:
    weak = hand_over(OLD, NEW, **FACTS, signers=["operator_1", "operator_2"])

    with pytest.raises(errors.QuorumNotMet):
        weak.verify(OLD.committee)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"epoch": 0}, errors.IntegerOutOfRange),
        ({"epoch": 4096}, errors.IntegerOutOfRange),
        ({"size": 0}, errors.IntegerOutOfRange),
        ({"next": "0x00"}, errors.InvalidHex),
        ({"acceptance": {}}, errors.MissingMember),
        ({"acceptance": []}, errors.WrongType),
        ({"kind": "checkpoint"}, errors.UnknownValue),
        ({"more": 1}, errors.UnknownMember),
    ],
)
def test_an_invalid_handover_is_refused(
    change: dict[str, Any], refusal: type[errors.DragonError]
) -> None:
    with pytest.raises(refusal):
        Handover.from_json({**HANDOVER.to_json(), **change})


def test_a_handover_without_acceptance_is_no_event() -> None:
    with pytest.raises(errors.MissingMember):
        event.decode(HANDOVER.certificate.to_json())


def test_a_handover_between_rounds_is_refused() -> None:
    between = hand_over(OLD, NEW, **{**FACTS, "timestamp": AT + 1})

    with pytest.raises(errors.OffRound):
        between.verify(OLD.committee)
    assert isinstance(between.claim, HandoverClaim)
