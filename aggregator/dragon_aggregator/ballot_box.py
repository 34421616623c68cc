"""Counts the ballots of one vote on a window, and makes the certificate from their signatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from dragon.errors import DragonError
from dragon.log.verified_events import VerifiedEvents
from dragon.net.operator_client import Ballot
from dragon.protocol import bls, certificate
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import Claim
from dragon.protocol.claims.window import InvalidReason, WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.submission import Submission

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Agreement:
    """A finding that a quorum shares, with the certificate if a quorum has signed it as well.

    Without a certificate, `signatures` are those on the claim, by operator. They are not verified.
    """

    finding: Finding
    claim: WindowClaim  # that states the finding, in the round of the vote
    signatures: Mapping[str, bytes]
    certificate: Certificate | None = None


class BallotBox:
    """The ballots on one submission. One thread at a time may use it."""

    def __init__(
        self,
        submission: Submission,
        timestamp: int,
        committee: Committee,
        verified: VerifiedEvents,
    ) -> None:
        """Create an empty box.

        Args:
            submission: a window with its objects.
            timestamp: Unix seconds, the start of the round in which the finding is signed.
            committee: whose operators vote, and for which they sign.
            verified: verifies the certificate, and remembers that it is valid.
        """
        self._verified = verified
        self._submission = submission
        self._timestamp = timestamp
        self._committee = committee
        self._needed = committee.quorum(WindowClaim.KIND)
        self._findings: dict[InvalidReason, set[str]] = {}  # operators with that finding
        self._signed: dict[InvalidReason, dict[str, bytes]] = {}  # signatures by operator
        self._certificate: Certificate | None = None

    def add(self, operator: str, ballot: Ballot) -> None:
        """Count a ballot. Makes the certificate as soon as there are enough valid signatures."""
        reason, signed = ballot.finding.reason, ballot.signed
        self._findings.setdefault(reason, set()).add(operator)
        signatures = self._signed.setdefault(reason, {})
        if signed is None or signed.committee_id != self._committee.id or self._certificate:
            return
        signatures[operator] = signed.signature
        if len(signatures) >= self._needed:
            claim = self._claim(reason)
            self._certificate = combine(claim, signatures, self._committee, self._verified)
            if self._certificate is None:
                self._signed[reason] = valid_signatures(claim, signatures, self._committee)

    def is_decided(self, outstanding: int) -> bool:
        """Whether nothing can come of further ballots: a certificate is made, or none can be.

        Args: `outstanding`, the number of operators that have not answered.
        """
        if self._certificate is not None:
            return True
        if not self.has_agreement:
            return len(self._shared()) + outstanding < self._needed
        return len(self._signed[self._reason()]) + outstanding < self._needed

    @property
    def has_agreement(self) -> bool:
        """Whether a quorum shares a finding."""
        return len(self._shared()) >= self._needed

    def agreement(self) -> Agreement | None:
        """What a quorum agrees on; None if it does not agree."""
        if not self.has_agreement:
            return None
        reason = self._reason()
        return Agreement(
            Finding(reason), self._claim(reason), dict(self._signed[reason]), self._certificate
        )

    def _shared(self) -> set[str]:
        """The operators with the finding that most of them have."""
        return max(self._findings.values(), key=len, default=set())

    def _reason(self) -> InvalidReason:
        return max(self._findings, key=lambda reason: len(self._findings[reason]))

    def _claim(self, reason: InvalidReason) -> WindowClaim:
        submission, objects = self._submission, self._submission.objects
        return Finding(reason).claim(
            submission.descriptor,
            submission.header,
            objects.proof if objects else bytes(32),
            self._timestamp,
        )


def combine(
    claim: Claim,
    signatures: Mapping[str, bytes],
    committee: Committee,
    verified: VerifiedEvents,
) -> Certificate | None:
    """Make a certificate, verified at once. None if not all signatures are valid.

    One check of the sum costs as much as one of a single signature.
    """
    try:
        made = certificate.assemble(claim, signatures, committee)
        verified.verify(made, committee)
    except DragonError:
        return None
    return made


def valid_signatures(
    claim: Claim, signatures: Mapping[str, bytes], committee: Committee
) -> dict[str, bytes]:
    """Return those signatures on the claim that are valid, each verified alone.

    The others are logged: an operator that signs correctly never sends one.
    """
    root = claim.root(committee.id)
    valid = {
        operator: signature
        for operator, signature in signatures.items()
        if operator in committee.keys and bls.is_signed(committee.keys[operator], root, signature)
    }
    for operator in signatures.keys() - valid.keys():
        logger.warning("false_signature", operator=operator, claim=claim.to_json())
    return valid
