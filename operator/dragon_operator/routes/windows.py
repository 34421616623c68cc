"""An operator's votes on windows of streams, with its signature on the claim that states each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flask import Response, jsonify, request
from prometheus_client import Counter

from dragon import errors
from dragon.encoding import Json, to_hex
from dragon.errors import AttestationRefused
from dragon.node import app as web
from dragon.node import schemas
from dragon.node.admission import is_from_member
from dragon.node.openapi import BODY_ERRORS, BODY_TOO_LARGE, Routes, responses
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.streams.statements import statement_of
from dragon.protocol.streams.submission import Submission, VoteRequest
from dragon_operator.components import Components
from dragon_operator.verdict_store import WindowVerdict

_INVALID_STREAM: Final = (
    errors.InvalidIdentity,
    errors.InvalidHeaderKey,
    errors.UnprovenHeaderKey,
    errors.InvalidReadings,
)


_NO_FINDING: Final[dict[str, Json]] = {"verdict": None, "reason": None, "detail": ""}
_UNSIGNED: Final[Mapping[str, Json]] = {
    "committee": None,
    "signature": None,
    "refusal": None,
    "refusal_detail": "",
}


def routes(components: Components, votes: Counter, attested: Counter) -> Routes:
    """Build the route; `votes` counts verdicts and refusals, `attested` signatures and refusals."""
    routes, voter = Routes("votes", __name__), components.window_voter

    @routes.post(
        "/windows",
        request_body=routes.request_body(schemas.VoteRequest),
        responses={
            **responses(schemas.Vote, *BODY_ERRORS, *_INVALID_STREAM, AttestationRefused),
            **BODY_TOO_LARGE,
        },
    )
    def vote() -> Response:
        """Vote on a window of a stream and sign the verdict, or record its announcement."""
        try:
            asked = VoteRequest.from_json(web.body())
            verdict = voter.vote(asked.submission)
        except AttestationRefused as error:
            votes.labels(error.reason).inc()
            raise
        votes.labels(str(verdict.finding.verdict) if verdict else "announced").inc()
        submission, signed = asked.submission, _UNSIGNED
        if (
            verdict is not None
            and asked.timestamp is not None
            and voter.may_sign_with_vote(submission.stream, verdict)
        ):
            signed = _attest(components, attested, verdict.claim(asked.timestamp))
        return jsonify(operator=components.myself, **_vote(submission, verdict), **signed)

    return routes


def _attest(components: Components, attested: Counter, claim: WindowClaim) -> Mapping[str, Json]:
    """Sign the claim as `POST /attestations` does, with the same checks; or say why not.

    The finding is an answer nevertheless: what prevents the signature may pass.
    """
    try:
        signed = components.attester.attest(claim, is_member=is_from_member(request.environ))
    except AttestationRefused as error:
        attested.labels(error.reason).inc()
        return {**_UNSIGNED, "refusal": error.reason, "refusal_detail": str(error)}
    attested.labels("signed").inc()
    return {**_UNSIGNED, **signed.members()}


def _vote(submission: Submission, verdict: WindowVerdict | None) -> dict[str, object]:
    return {
        "stream": to_hex(submission.stream),
        "number": submission.number,
        "header": to_hex(submission.header.hash),
        "statement": statement_of(submission.descriptor, submission.header),
        **(verdict.finding.members() if verdict else _NO_FINDING),
    }
