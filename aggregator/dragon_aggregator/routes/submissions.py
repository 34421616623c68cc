"""Submissions: windows and objects by owners of streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from flask import Response, jsonify, request

from dragon import errors
from dragon.encoding import to_hex
from dragon.node import app as web
from dragon.node import schemas
from dragon.node.openapi import BODY_ERRORS, BODY_TOO_LARGE, PAGING_ERRORS, Routes, responses
from dragon.node.paging import LimitQuery, NewestFirstPageQuery, page
from dragon.node.parameters import hexadecimal, integer
from dragon.node.routes import streams
from dragon.protocol.streams.chunks import MAX_CHUNKS_BYTES
from dragon.protocol.streams.finding import MAX_PROOF_BYTES
from dragon.protocol.streams.statements import proven_chunks, statement_of
from dragon.protocol.streams.submission import Submission
from dragon.stark.security import window_level_bits
from dragon_aggregator.components import Components
from dragon_aggregator.pending_windows import Window

MAX_OBJECT_BYTES: Final = max(MAX_CHUNKS_BYTES, MAX_PROOF_BYTES)
_SUBMISSION_ERRORS: Final = (
    errors.InvalidIdentity,
    errors.InvalidHeaderKey,
    errors.UnprovenHeaderKey,
    errors.InvalidReadings,
    errors.NotListed,
    errors.WrongCommittee,
    errors.BadSignature,
    errors.LogStopped,
    errors.Busy,
)


def is_submission(environ: Mapping[str, Any]) -> bool:
    """Whether a request submits a window or an object."""
    method, path = str(environ["REQUEST_METHOD"]), str(environ["PATH_INFO"])
    return (method == "POST" and path == "/windows") or (
        method == "PUT" and path.startswith("/objects/")
    )


class WindowsQuery(LimitQuery):
    after: Annotated[int, integer(0, 1 << 20)] = 0


class DecidedQuery(NewestFirstPageQuery):
    stream: Annotated[bytes | None, hexadecimal(range(32, 33))] = None
    number: Annotated[int | None, integer()] = None


def routes(components: Components) -> Routes:
    routes = streams.objects(
        components.window_queue.objects, components.log
    )  # GET and PUT share the path
    _add_windows(routes, components)
    _add_objects(routes, components)
    return routes


def _add_windows(routes: Routes, components: Components) -> None:
    @routes.post(
        "/windows",
        request_body=routes.request_body(schemas.Submission),
        responses={
            **responses(schemas.WindowStatus, *BODY_ERRORS, *_SUBMISSION_ERRORS, status=202),
            **BODY_TOO_LARGE,
        },
    )
    def submit() -> tuple[Response, int]:
        """Accept a window or its announcement, and return its state. Repeat it to poll."""
        submission = Submission.from_json(web.body())
        return jsonify(_window(components.window_queue.submit(submission))), 202

    @routes.get("/windows", responses=responses(schemas.WindowStatuses, *PAGING_ERRORS))
    def windows(query: WindowsQuery) -> Response:
        """List windows that are not in the log, by stream, with each operator's last answer."""
        numbered = list(enumerate(components.window_queue.pending(), start=1))[query.after :]
        listed, following = page(numbered, query.limit, lambda each: each[0])
        return jsonify(windows=[_window(window) for _, window in listed], next=following)

    @routes.get(
        "/windows/decided",
        responses=responses(schemas.DecidedWindows, *PAGING_ERRORS, errors.InvalidHex),
    )
    def decided(query: DecidedQuery) -> Response:
        """List the last windows with a verdict, newest first, with each operator's last answer."""
        found = components.window_queue.decided.newest_first(
            below=query.after, stream=query.stream, number=query.number
        )
        listed, following = page(found, query.limit, lambda each: each.id)
        windows = [{"id": each.id, **_window(each.window)} for each in listed]
        return jsonify(windows=windows, next=following)


def _add_objects(routes: Routes, components: Components) -> None:
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
        """Store an object that a submitted window names."""
        request.max_content_length = MAX_OBJECT_BYTES
        body = web.raw_body()
        components.window_queue.store(path.sha256, body)
        return jsonify(sha256=to_hex(path.sha256), bytes=len(body)), 201


def _window(window: Window) -> dict[str, object]:
    submission, objects = window.submission, window.submission.objects
    descriptor, header = submission.descriptor, submission.header
    proven = proven_chunks(descriptor, header)
    has_proof = objects is not None and window.state != "invalid"
    return {
        "stream": to_hex(submission.stream),
        "number": submission.number,
        "header": to_hex(submission.header.hash),
        "statement": statement_of(descriptor, header),
        "state": window.state,
        "missing": [to_hex(sha256) for sha256 in window.missing],
        "proof": to_hex(objects.proof) if objects else None,
        "count": header.count,
        "proof_bytes": window.proof_bytes,
        "security_bits": window_level_bits(descriptor.parameters, proven) if has_proof else None,
        "votes": [
            {"operator": operator, "answer": answer, "detail": detail}
            for operator, (answer, detail) in sorted(window.votes.items())
        ],
    }
