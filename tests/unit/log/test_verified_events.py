"""Certificates that were verified before: only these, for this committee, unchanged."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from unittest import mock

import pytest

from committees import make_members
from dragon.encoding import canonical
from dragon.errors import CertificateError
from dragon.log import verified_events
from dragon.log.evaluation import Evaluator, Outcome
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.verified_events import VerifiedEvents
from dragon.protocol import bls
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.status import Status
from dragon.protocol.state import State

MEMBERS = make_members()
COMMITTEE, OTHER = MEMBERS.committee, make_members(name="another").committee
GENUINE = MEMBERS.status("operator_1", Status.UP, 1)
# Another quorum's certificate of the same claim, and certificates of other claims.
SAME_CLAIM = MEMBERS.status("operator_1", Status.UP, 1, ["operator_2", "operator_3", "operator_4"])
LATER = MEMBERS.status("operator_1", Status.UP, 2)


CHANGED = {
    "claim": dataclasses.replace(GENUINE, claim=LATER.claim),
    "signers": dataclasses.replace(GENUINE, signers=SAME_CLAIM.signers),
    "signature": dataclasses.replace(GENUINE, signature=LATER.signature),
    "public key": dataclasses.replace(GENUINE, public_key=SAME_CLAIM.public_key),
    "committee": dataclasses.replace(GENUINE, committee_id=OTHER.id),
}


def knows(verified: VerifiedEvents, certificate: Certificate) -> bool:
    return verified.knows(verified_events.digest(certificate), COMMITTEE)


def test_a_valid_certificate_is_remembered() -> None:
    verified = VerifiedEvents()
    assert not knows(verified, GENUINE)

    verified.verify(GENUINE, COMMITTEE)

    assert knows(verified, GENUINE)


def test_nothing_is_known_of_another_committee() -> None:
    verified = VerifiedEvents()
    verified.verify(GENUINE, COMMITTEE)

    assert not verified.knows(verified_events.digest(GENUINE), OTHER)


@pytest.mark.parametrize("changed", CHANGED.values(), ids=CHANGED.keys())
def test_a_certificate_with_another_member_is_not_known(changed: Certificate) -> None:
    verified = VerifiedEvents()
    verified.verify(GENUINE, COMMITTEE)

    assert not knows(verified, changed)
    with pytest.raises(CertificateError):
        verified.verify(changed, COMMITTEE)
    assert not knows(verified, changed)


def test_the_newest_are_remembered() -> None:
    verified, made = (
        VerifiedEvents(2),
        [MEMBERS.status("operator_2", Status.UP, round_) for round_ in range(1, 4)],
    )
    for each in made:
        verified.verify(each, COMMITTEE)

    assert [knows(verified, each) for each in made] == [False, True, True]


def evaluated(verified: VerifiedEvents, *events: Certificate) -> tuple[Outcome, int]:
    """The outcome of a batch, and how many signatures were verified one by one or in groups."""
    body = canonical([event.to_json() for event in events]).decode()
    batch = ProvenBatch(1, body, 0, "{}", Position(1, f"{1:032x}"))
    evaluator = Evaluator(os.urandom, verified)
    with (
        mock.patch.object(bls, "verify", side_effect=bls.verify) as single,
        mock.patch.object(bls, "verify_batch", side_effect=bls.verify_batch) as together,
    ):
        outcome = evaluator.evaluate(State.of(COMMITTEE), [batch], lambda _: lambda _: bytes(32))
    checked: Sequence[int] = [len(call.args[0]) for call in together.call_args_list]
    return outcome, single.call_count + sum(checked)


def test_a_log_does_not_verify_a_known_certificate_again() -> None:
    verified = VerifiedEvents()
    unknown, checked = evaluated(verified, GENUINE)
    assert checked == 1

    verified.verify(GENUINE, COMMITTEE)
    known, checked = evaluated(verified, GENUINE)

    assert checked == 0
    assert known == unknown
    assert [entry.event for entry in known.entries] == [GENUINE]


@pytest.mark.parametrize("changed", CHANGED.values(), ids=CHANGED.keys())
def test_a_log_refuses_a_changed_certificate_as_ever(changed: Certificate) -> None:
    verified = VerifiedEvents()
    expected, _ = evaluated(verified, changed, LATER)

    verified.verify(GENUINE, COMMITTEE)
    found, _ = evaluated(verified, changed, LATER)

    assert found == expected
    assert found.refusals


def test_what_follows_a_known_certificate_is_verified() -> None:
    verified = VerifiedEvents()
    verified.verify(GENUINE, COMMITTEE)
    forged = dataclasses.replace(LATER, signature=GENUINE.signature)

    found, _ = evaluated(verified, GENUINE, forged)

    assert [entry.event for entry in found.entries] == [GENUINE]
    assert len(found.refusals) == 1
