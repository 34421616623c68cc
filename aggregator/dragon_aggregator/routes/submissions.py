"""What is handed in: windows and their objects by owners of streams, endorsements by experts."""

from __future__ import annotations

from typing import Annotated, Final

from flask import Response, jsonify, request

from dragon import errors
from dragon.encoding import to_hex
from dragon.node import app as web
from dragon.node import schemas
from dragon.node.openapi import BODY_ERRORS, BODY_TOO_LARGE, PAGING_ERRORS, Routes, responses
from dragon.node.paging import LimitQuery, page
from dragon.node.parameters import integer
from dragon.node.routes import streams
from dragon.protocol.claims.base import ordering_key
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.state import check_applicable
from dragon.protocol.streams.chunks import MAX_CHUNKS_BYTES
from dragon.protocol.streams.finding import MAX_PROOF_BYTES
from dragon.protocol.streams.submission import Submission
from dragon_aggregator.components import Components
from dragon_aggregator.window_queue import Window

MAX_OBJECT: Final = max(MAX_CHUNKS_BYTES, MAX_PROOF_BYTES)
MOST_ENDORSEMENTS: Final = 16  # of one expert on their way


class WindowsQuery(LimitQuery):
    after: Annotated[int, integer(0, 1 << 20)] = 0


def handing_in(own: Components) -> Routes:
    routes = streams.objects(own.windows.objects)  # one path has all its methods in one place

    @routes.post(
        "/windows",
        request_body=routes.request_body(schemas.Submission),
        responses={
            **responses(
                schemas.WindowStatus, *BODY_ERRORS, *_NOT_THE_STREAMS, errors.Busy, status=202
            ),
            **BODY_TOO_LARGE,
        },
    )
    def submit() -> tuple[Response, int]:
        """Take a window of a stream, or its announcement; what has become of it. Ask again with
        the same."""
        return jsonify(_standing(own.windows.submit(Submission.from_json(web.body())))), 202

    @routes.get("/windows", responses=responses(schemas.WindowStatuses, *PAGING_ERRORS))
    def windows(query: WindowsQuery) -> Response:
        """WindowQueue that the log does not have yet, and what each operator said, by stream."""
        waiting = list(enumerate(own.windows.waiting(), start=1))[query.after :]
        listed, following = page(waiting, query.limit, lambda numbered: numbered[0])
        return jsonify(windows=[_standing(window) for _, window in listed], next=following)

    @routes.put(
        "/objects/<sha256>",
        request_body=routes.binary_body(),
        responses={
            **responses(
                schemas.Stored,
                errors.InvalidHex,
                errors.NotFound,
                errors.WrongDigest,
                errors.Busy,
                status=201,
            ),
            **BODY_TOO_LARGE,
        },
    )
    def store(path: streams.ObjectPath) -> tuple[Response, int]:
        """Take an object that a submitted window names."""
        request.max_content_length = MAX_OBJECT
        body = web.raw_body()
        own.windows.store(path.sha256, body)
        return jsonify(sha256=to_hex(path.sha256), bytes=len(body)), 201

    @routes.post(
        "/endorsements",
        request_body=routes.request_body(schemas.Endorsement),
        responses={
            **responses(
                schemas.Accepted,
                *BODY_ERRORS,
                errors.WrongCommittee,
                errors.UnknownSigner,
                errors.BadSignature,
                errors.InvalidSignature,
                errors.AppliedAlready,
                errors.NoSuchWindow,
                errors.NotLater,
                errors.Stale,
                errors.Early,
                errors.LogStopped,
                status=202,
            ),
            **BODY_TOO_LARGE,
        },
    )
    def endorse() -> tuple[Response, int]:
        """Take what an expert says of windows; it goes to the ledger under the expert's key."""
        endorsement = Endorsement.from_json(web.body())
        _check_endorsement(own, endorsement)
        own.outbox.add(endorsement, not_before=0.0)
        return jsonify(accepted=True), 202

    return routes


def _check_endorsement(own: Components, endorsement: Endorsement) -> None:
    """Only what the log would take now is worth a place in the outbox."""
    if alarm := own.log.alarm():
        raise errors.LogStopped(alarm.detail, reason=alarm.reason)
    endorsement.check(own.committee)
    check_applicable(own.log.state, endorsement.claim, int(own.wall()), own.committee)
    endorsement.verify(own.committee)
    if endorsement.claim in own.outbox.claims(ordering_key(endorsement.claim)):
        raise errors.AppliedAlready("that endorsement is on its way to the ledger")
    if len(own.outbox.claims(ordering_key(endorsement.claim))) >= MOST_ENDORSEMENTS:
        raise errors.Busy("as many endorsements of that expert are on their way as may be")


_NOT_THE_STREAMS: Final = (
    errors.InvalidIdentity,
    errors.InvalidHeaderKey,
    errors.UnprovenHeaderKey,
    errors.WrongCommittee,
    errors.BadSignature,
    errors.LogStopped,
)


def _standing(window: Window) -> dict[str, object]:
    submission = window.submission
    return {
        "stream": to_hex(submission.stream),
        "number": submission.number,
        "header": to_hex(submission.header.hash),
        "state": window.state,
        "missing": [to_hex(sha256) for sha256 in window.missing],
        "votes": [
            {"operator": operator, "answer": answer, "detail": detail}
            for operator, (answer, detail) in sorted(window.votes.items())
        ],
    }
