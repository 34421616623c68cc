"""An operator's votes on windows of streams."""

from __future__ import annotations

from typing import Final

from flask import Response, jsonify
from prometheus_client import Counter

from dragon import errors
from dragon.encoding import Json, to_hex
from dragon.errors import AttestationRefused
from dragon.node import app as web
from dragon.node import schemas
from dragon.node.openapi import BODY_ERRORS, BODY_TOO_LARGE, Routes, responses
from dragon.protocol.streams.statements import statement_of
from dragon.protocol.streams.submission import Submission
from dragon_operator.components import Components
from dragon_operator.verdict_store import WindowVerdict

_INVALID_STREAM: Final = (
    errors.InvalidIdentity,
    errors.InvalidHeaderKey,
    errors.UnprovenHeaderKey,
    errors.InvalidReadings,
)


_NO_FINDING: Final[dict[str, Json]] = {"verdict": None, "reason": None, "detail": ""}


def routes(components: Components, votes: Counter) -> Routes:
    """Build the route; `votes` counts verdicts and refusals."""
    routes = Routes("votes", __name__)

    @routes.post(
        "/windows",
        request_body=routes.request_body(schemas.Submission),
        responses={
            **responses(schemas.Vote, *BODY_ERRORS, *_INVALID_STREAM, AttestationRefused),
            **BODY_TOO_LARGE,
        },
    )
    def vote() -> Response:
        """Vote on a window of a stream, or record its announcement."""
        try:
            submission = Submission.from_json(web.body())
            verdict = components.window_voter.vote(submission)
        except AttestationRefused as error:
            votes.labels(error.reason).inc()
            raise
        votes.labels(str(verdict.finding.verdict) if verdict else "announced").inc()
        return jsonify(operator=components.myself, **_vote(submission, verdict))

    return routes


def _vote(submission: Submission, verdict: WindowVerdict | None) -> dict[str, object]:
    return {
        "stream": to_hex(submission.stream),
        "number": submission.number,
        "header": to_hex(submission.header.hash),
        "statement": statement_of(submission.descriptor, submission.header),
        **(verdict.finding.members() if verdict else _NO_FINDING),
    }
