"""Talking to an operator, and believing only what its key has signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dragon.encoding import Json, Members, to_hex
from dragon.errors import (
    AttestationRefused,
    BadAnswer,
    DragonError,
    InvalidEncoding,
)
from dragon.net.http_client import HttpClient
from dragon.protocol import bls
from dragon.protocol.claims import Claim
from dragon.protocol.claims.window import InvalidReason, Verdict
from dragon.protocol.committee import Committee
from dragon.protocol.messages import StatusAnswer
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.submission import Submission

REFUSED: Final = 409


@dataclass(frozen=True, slots=True)
class WindowVote:
    """What an operator says that it would sign of a window."""

    reason: InvalidReason
    detail: str = ""

    @property
    def verdict(self) -> Verdict:
        return Verdict.VALID if self.reason is InvalidReason.NONE else Verdict.INVALID


@dataclass(frozen=True, slots=True)
class OperatorClient:
    """One operator of the committee, by its id; addresses and keys come from the committee only."""

    committee: Committee
    operator: str
    http: HttpClient

    @property
    def _url(self) -> str:
        return self.committee.urls[self.operator]

    def status(self, nonce: bytes, *, deadline: float) -> StatusAnswer:
        """The operator's own signed answer to this very question.

        Raises:
            Unreachable: nobody answered in time.
            BadAnswer: somebody did, but not this operator, or not to this nonce. `reason` says.
        """
        answer = self.http.get(
            f"{self._url}/status", params={"nonce": to_hex(nonce)}, deadline=deadline
        )
        if answer.status != 200:
            raise BadAnswer(f"answered {answer.status}", reason="status_code")
        try:
            stated, signature = decode_status(answer.json())
        except DragonError as error:
            raise BadAnswer(str(error), reason="bad_answer") from None
        if stated.nonce != nonce:
            raise BadAnswer("answered another question", reason="bad_nonce")
        self._check(stated, signature)
        return stated

    def _check(self, stated: StatusAnswer, signature: bytes) -> None:
        if stated.node_id != self.operator:
            raise BadAnswer("another node answered", reason="other_node")
        key = self.committee.keys[self.operator]
        if not bls.is_signed(key, stated.root(self.committee.id), signature):
            raise BadAnswer("the answer is not signed by this node's key", reason="bad_signature")

    def attest(self, claim: Claim, *, deadline: float) -> bytes:
        """This operator's signature on `claim`, checked on arrival.

        Raises:
            AttestationRefused: it does not sign; `reason` is from the closed list.
            Unreachable, BadAnswer: no usable answer.
        """
        answer = self.http.post(f"{self._url}/attestations", claim.to_json(), deadline=deadline)
        if answer.status == REFUSED:
            raise _refusal(answer.json())
        try:
            members = Members(answer.successful(), "the attestation")
            signer, signature = members.id("operator"), members.hex("signature", size=96)
            members.end()
            genuine = signer == self.operator and bls.is_signed(
                self.committee.keys[self.operator], claim.root(self.committee.id), signature
            )
        except InvalidEncoding:
            genuine = False
        if not genuine:
            raise BadAnswer("the attestation is not this operator's", reason="bad_signature")
        return signature

    def request_vote(self, submission: Submission, *, deadline: float) -> WindowVote | None:
        """What this operator finds a window to be; None where it was only announced.

        Nothing of it is signed: it says what the operator would sign.

        Raises:
            AttestationRefused: it comes to no verdict; `reason` is from the closed list.
            Unreachable, BadAnswer: no usable answer.
        """
        answer = self.http.post(f"{self._url}/windows", submission.to_json(), deadline=deadline)
        if answer.status == REFUSED:
            raise _refusal(answer.json())
        try:
            members = Members(answer.successful(), "the vote")
            verdict = members.take("verdict")
            if verdict is None:
                return None
            reason = InvalidReason(members.word("reason", InvalidReason))
            detail = members.take("detail")
            return WindowVote(reason, _short(detail) if isinstance(detail, str) else "")
        except InvalidEncoding:
            raise BadAnswer("the answer is no vote", reason="bad_answer") from None


def decode_status(value: Json) -> tuple[StatusAnswer, bytes]:
    """A signed status answer, not yet verified. Raises InvalidEncoding."""
    members = Members(value, "the answer")
    stated = StatusAnswer.take(members)
    signature = members.hex("signature", size=bls.SIGNATURE_BYTES)
    members.end()
    return stated, signature


def _refusal(problem: Json) -> DragonError:
    reason = problem.get("reason") if isinstance(problem, dict) else None
    if reason not in list(RefusalReason):
        return BadAnswer("refused for no reason of the closed list", reason="bad_answer")
    detail = problem.get("detail") if isinstance(problem, dict) else None
    said = _short(detail) if isinstance(detail, str) else f"refused: {reason}"
    return AttestationRefused(str(reason), said)


def _short(detail: str) -> str:
    """An operator's own words, fit to be kept and shown."""
    return ascii(detail[:200])[1:-1]
