"""Ballots on a window: when a vote is decided, and which signatures make the certificate."""

from __future__ import annotations

import hashlib
from itertools import permutations

import pytest

from committees import GENESIS, make_members
from dragon.errors import AttestationRefused
from dragon.log import verified_events
from dragon.log.verified_events import VerifiedEvents
from dragon.net.operator_client import Attested, Ballot
from dragon.protocol.claims.window import InvalidReason, WindowClaim
from dragon.protocol.streams.finding import Finding
from dragon_aggregator.ballot_box import BallotBox
from streams import make_owner

MEMBERS = make_members()
COMMITTEE, OPERATORS = MEMBERS.committee, tuple(MEMBERS.secrets)
OWNER = make_owner(MEMBERS)
WINDOW = OWNER.window([b"21.5"])
PROOF = b"a proof"
VALID, STARK = InvalidReason.NONE, InvalidReason.STARK


def claim(reason: InvalidReason = VALID, timestamp: int = GENESIS) -> WindowClaim:
    digest = hashlib.sha256(PROOF).digest()
    return Finding(reason).claim(OWNER.descriptor, WINDOW.header, digest, timestamp)


def signed(
    operator: str,
    reason: InvalidReason = VALID,
    of: WindowClaim | None = None,
    committee_id: bytes = COMMITTEE.id,
) -> Ballot:
    """A ballot with a signature on the claim that states it, or on another one."""
    message = (of or claim(reason)).root(COMMITTEE.id)
    signature = MEMBERS.secrets[operator].sign(message)
    return Ballot(Finding(reason), Attested(committee_id, signature))


def unsigned(reason: InvalidReason = VALID) -> Ballot:
    return Ballot(Finding(reason), refusal=AttestationRefused("behind", "not read to its end"))


def box() -> BallotBox:
    return BallotBox(OWNER.submission(WINDOW, PROOF), GENESIS, COMMITTEE, VerifiedEvents())


@pytest.mark.parametrize("reason", [VALID, STARK])
def test_three_signed_ballots_of_four_make_a_certificate(reason: InvalidReason) -> None:
    made = box()
    for count, operator in enumerate(OPERATORS[:3], start=1):
        assert not made.is_decided(len(OPERATORS) - count + 1)
        made.add(operator, signed(operator, reason))

    assert made.is_decided(1)
    agreement = made.agreement()
    assert agreement is not None
    assert agreement.claim == claim(reason)
    assert agreement.certificate is not None
    agreement.certificate.verify(COMMITTEE)
    assert agreement.certificate.claim == claim(reason)
    assert agreement.certificate.signers == OPERATORS[:3]


def test_a_finding_without_a_quorum_is_no_agreement() -> None:
    made = box()
    for operator, reason in zip(OPERATORS, (VALID, VALID, STARK, STARK), strict=True):
        made.add(operator, signed(operator, reason))

    assert made.is_decided(0)
    assert made.agreement() is None


def test_a_vote_is_decided_as_soon_as_no_quorum_is_possible() -> None:
    made = box()
    made.add(OPERATORS[0], signed(OPERATORS[0]))
    made.add(OPERATORS[1], signed(OPERATORS[1], STARK))

    assert not made.is_decided(2)
    assert made.is_decided(1)  # another one has not answered at all


def test_an_agreement_without_enough_signatures_waits_for_those_that_are_outstanding() -> None:
    made = box()
    for operator in OPERATORS[:2]:
        made.add(operator, signed(operator))
    made.add(OPERATORS[2], unsigned())

    assert made.has_agreement
    assert not made.is_decided(1)
    assert made.is_decided(0)
    agreement = made.agreement()
    assert agreement is not None
    assert agreement.certificate is None
    assert set(agreement.signatures) == set(OPERATORS[:2])


FALSE = {
    "of another round": lambda name: signed(name, of=claim(timestamp=GENESIS + 5)),
    "of another verdict": lambda name: signed(name, of=claim(STARK)),
    "for another committee": lambda name: signed(name, committee_id=bytes(32)),
    "no point": lambda _: Ballot(Finding(VALID), Attested(COMMITTEE.id, b"\xff" * 96)),
    "of another operator": lambda _: signed(OPERATORS[3]),
}


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("false", FALSE)
def test_a_false_signature_gets_into_no_certificate(false: str, order: tuple[int, ...]) -> None:
    liar, *honest = OPERATORS[:3]
    ballots = {liar: FALSE[false](liar), **{name: signed(name) for name in honest}}
    made = box()
    for place in order:
        made.add(OPERATORS[place], ballots[OPERATORS[place]])

    assert not made.is_decided(1)
    found = made.agreement()
    assert found is not None
    assert found.certificate is None
    assert set(found.signatures) == set(honest)

    made.add(OPERATORS[3], signed(OPERATORS[3]))
    assert made.is_decided(0)
    found = made.agreement()
    assert found is not None
    assert found.certificate is not None
    found.certificate.verify(COMMITTEE)
    assert liar not in found.certificate.signers


@pytest.mark.parametrize("false", [each for each in FALSE if each != "for another committee"])
def test_a_false_signature_is_logged_once_with_its_operator_and_window(
    false: str, caplog: pytest.LogCaptureFixture
) -> None:
    liar, *honest = OPERATORS
    made = box()
    for operator, ballot in [
        (liar, FALSE[false](liar)),
        *((name, signed(name)) for name in honest),
    ]:
        made.add(operator, ballot)

    [logged] = caplog.records
    assert (logged.levelname, logged.getMessage()) == ("WARNING", "false_signature")
    fields = logged.__dict__["fields"]
    assert fields["operator"] == liar
    assert fields["claim"] == claim().to_json()


def test_valid_signatures_log_nothing(caplog: pytest.LogCaptureFixture) -> None:
    made = box()
    for operator in OPERATORS:
        made.add(operator, signed(operator))

    assert not caplog.records


def test_the_certificate_is_remembered_as_verified() -> None:
    verified = VerifiedEvents()
    made = BallotBox(OWNER.submission(WINDOW, PROOF), GENESIS, COMMITTEE, verified)
    for operator in OPERATORS[:3]:
        made.add(operator, signed(operator))

    agreement = made.agreement()
    assert agreement is not None
    assert agreement.certificate is not None
    assert verified.knows(verified_events.digest(agreement.certificate), COMMITTEE)
