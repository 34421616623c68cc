"""Client of an operator. It accepts only answers that are signed with the operator's key."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Self

from dragon.encoding import Json, Members, to_hex
from dragon.errors import AttestationRefused, BadAnswer, DragonError, InvalidEncoding
from dragon.net.http_client import HttpClient, HttpResponse, quoted
from dragon.protocol import bls
from dragon.protocol.claims import Claim
from dragon.protocol.committee import Committee
from dragon.protocol.messages import StatusAnswer
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.statements import statement_of
from dragon.protocol.streams.submission import VoteRequest

READ_DEADLINE_SECONDS: Final = 5.0
MAX_READ_BYTES: Final = 1 << 20
OTHER_COMMITTEE: Final = "other_committee"  # an attestation for another committee than ours
STATUS_REFUSED: Final = 409  # the HTTP status of a refusal to sign or to vote


@dataclass(frozen=True, slots=True)
class Attested:
    """What an operator states that it has signed. It is not verified."""

    committee_id: bytes  # that the signature is for
    signature: bytes  # 96 bytes

    @classmethod
    def take(cls, members: Members) -> Self:
        """Take the members of an attestation. Raises InvalidEncoding."""
        return cls(
            members.hex("committee", size=32), members.hex("signature", size=bls.SIGNATURE_BYTES)
        )


@dataclass(frozen=True, slots=True)
class Ballot:
    """An operator's finding, and its signature on the claim that states it, or why there is none.

    Both are None if it was not asked to sign, or does not sign with its votes.
    """

    finding: Finding
    signed: Attested | None = None
    refusal: AttestationRefused | None = None

    @classmethod
    def take(cls, finding: Finding, members: Members) -> Self:
        """Take what a vote has besides the finding. Raises InvalidEncoding."""
        finding = replace(finding, detail=quoted(finding.detail))
        if members.states("signature"):
            return cls(finding, signed=Attested.take(members))
        if not members.states("refusal"):
            return cls(finding)
        reason, detail = members.word("refusal", RefusalReason), members.take("refusal_detail")
        said = quoted(detail) if isinstance(detail, str) else f"refused: {reason}"
        return cls(finding, refusal=AttestationRefused(reason, said))


@dataclass(frozen=True, slots=True)
class OperatorClient:
    """Client of one operator. Its address and keys come from committees only.

    `deadline` is in seconds and covers the whole exchange.
    """

    committee: Committee
    operator: str
    http: HttpClient
    # With which it may sign a status answer; empty: the key that the committee lists.
    answer_keys: tuple[bls.PublicKey, ...] = ()

    @property
    def _url(self) -> str:
        return self.committee.urls[self.operator]

    def status(self, nonce: bytes, *, deadline: float) -> StatusAnswer:
        """Request the operator's signed status, which has to contain `nonce`.

        Raises:
            Unreachable: no answer in time.
            BadAnswer: the answer is not from this operator, or not to this nonce; `reason` is
                `status_code`, `bad_answer`, `bad_nonce`, `other_node` or `bad_signature`.
        """
        response = self.http.get(
            f"{self._url}/status", params={"nonce": to_hex(nonce)}, deadline=deadline
        )
        if response.status != 200:
            message = f"answered {response.status}"
            raise BadAnswer(message, reason="status_code", status=response.status)
        try:
            answer, signature = decode_status(response.json())
        except DragonError as error:
            raise BadAnswer(str(error), reason="bad_answer") from None
        if answer.nonce != nonce:
            raise BadAnswer("the answer has another nonce", reason="bad_nonce")
        self._check(answer, signature)
        return answer

    def _check(self, answer: StatusAnswer, signature: bytes) -> None:
        if answer.node_id != self.operator:
            message = f"the answer is from {answer.node_id}, expected {self.operator}"
            raise BadAnswer(message, reason="other_node")
        root = answer.root(self.committee.network_id)
        keys = self.answer_keys or (self.committee.keys[self.operator],)
        if not any(bls.is_signed(key, root, signature) for key in keys):
            message = f"the answer is not signed with the key of {self.operator}"
            raise BadAnswer(message, reason="bad_signature")

    def get(
        self, path: str, *, deadline: float = READ_DEADLINE_SECONDS, **params: str | int
    ) -> dict[str, Any]:
        """Fetch one JSON object as this operator states it: unsigned and not verified.

        Raises Unreachable, BadAnswer.
        """
        response = self.http.get(
            self._url + path, deadline=deadline, params=params, max_bytes=MAX_READ_BYTES
        )
        found = response.successful()
        if not isinstance(found, dict):
            raise BadAnswer("the answer is not a JSON object")
        return found

    def attest(self, claim: Claim, *, deadline: float) -> bytes:
        """Request this operator's signature on `claim` and verify it.

        Raises:
            AttestationRefused: the operator does not sign; `reason` is a `RefusalReason`.
            Unreachable, BadAnswer: no usable answer; `reason` is `other_committee` if its log is
                at another committee than ours.
        """
        body = self._post("attestations", claim.to_json(), deadline)
        try:
            members = Members(body, "the attestation")
            signer = members.id("operator")
            signed = Attested.take(members)
            members.end()
        except InvalidEncoding:
            signer, signed = "", None
        if signed is not None:
            self.check_committee(signed)
        if signed is None or signer != self.operator or not self.has_signed(claim, signed):
            message = f"the attestation is not signed by {self.operator}"
            raise BadAnswer(message, reason="bad_signature")
        return signed.signature

    def check_committee(self, signed: Attested) -> None:
        """Check that an attestation is for our committee. Raises BadAnswer: `other_committee`."""
        if signed.committee_id != self.committee.id:
            message = f"{self.operator} signs for another committee, {to_hex(signed.committee_id)}"
            raise BadAnswer(message, reason=OTHER_COMMITTEE)

    def has_signed(self, claim: Claim, signed: Attested) -> bool:
        """Return whether this is the operator's signature on the claim. Costs a pairing check."""
        key, root = self.committee.keys[self.operator], claim.root(self.committee.id)
        return bls.is_signed(key, root, signed.signature)

    def request_vote(self, request: VoteRequest, *, deadline: float) -> Ballot | None:
        """Submit a window and return the operator's finding, with its signature if it has signed.

        The finding itself is not signed, and the signature is not verified here.

        Returns:
            The finding; None if the submission was only an announcement.

        Raises:
            AttestationRefused: the operator has no finding; `reason` is a `RefusalReason`.
            Unreachable, BadAnswer: no usable answer; or the operator votes on another statement
                than the header makes.
        """
        body = self._post("windows", request.to_json(), deadline)
        try:
            members = Members(body, "the vote")
            stated = members.take("statement") if "statement" in members else None
            finding = Finding.take(members)
            ballot = None if finding is None else Ballot.take(finding, members)
        except InvalidEncoding as error:
            raise BadAnswer(f"the answer is not a vote: {error}", reason="bad_answer") from None
        if stated != statement_of(request.submission.descriptor, request.submission.header):
            raise BadAnswer("the vote is about another statement", reason="bad_answer")
        return ballot

    def _post(self, path: str, body: Json, deadline: float) -> Json:
        # An operator that is asked twice gives the same answer, so the connection may be kept.
        response = self.http.post(f"{self._url}/{path}", body, deadline=deadline, keep=True)
        if response.status == STATUS_REFUSED:
            raise _refusal(response)
        return response.successful()


def decode_status(value: Json) -> tuple[StatusAnswer, bytes]:
    """Decode a signed status answer without verifying it. Raises InvalidEncoding.

    Returns:
        The answer, and its signature (96 bytes).
    """
    members = Members(value, "the answer")
    answer = StatusAnswer.take(members)
    signature = members.hex("signature", size=bls.SIGNATURE_BYTES)
    members.end()
    return answer, signature


def _refusal(response: HttpResponse) -> DragonError:
    response.json()  # raises BadAnswer where it is not strict JSON
    reason = response.problem().get("reason")
    if reason not in list(RefusalReason):
        return BadAnswer("the refusal has no reason of the closed list", reason="bad_answer")
    return AttestationRefused(str(reason), response.detail(f"refused: {reason}"))
