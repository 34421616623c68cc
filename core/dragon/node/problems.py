"""Problem documents (RFC 9457): the only format of a service's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from dragon import errors
from dragon.node import request_id
from dragon.node.http_errors import SENTENCES, sentence_of, title_of
from dragon.node.log_format import get_logger
from dragon.protocol.refusal import RefusalReason

logger = get_logger(__name__)

STATUS: Final[Mapping[type[errors.DragonError], HTTPStatus]] = {
    errors.InvalidEncoding: HTTPStatus.BAD_REQUEST,
    errors.InvalidPoint: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidStream: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.CertificateError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnknownNode: HTTPStatus.NOT_FOUND,
    errors.NotApplicable: HTTPStatus.CONFLICT,
    errors.WrongDigest: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ReceiptRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.DisclosureRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidProof: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ProofRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ProvingError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.WorkerDied: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.AttestationRefused: HTTPStatus.CONFLICT,
    errors.BeatRefused: HTTPStatus.CONFLICT,
    errors.LedgerError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.LogError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DiskError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DiskFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.PeerError: HTTPStatus.BAD_GATEWAY,
    errors.UnsuitablePeriod: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotCertified: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.ForeignOrigin: HTTPStatus.FORBIDDEN,
    errors.NotListed: HTTPStatus.FORBIDDEN,
    errors.AlreadyMade: HTTPStatus.CONFLICT,
    errors.StreamStopped: HTTPStatus.CONFLICT,
    errors.ChunkDamaged: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ArchiveUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.WrongOffset: HTTPStatus.CONFLICT,
    errors.TooManySockets: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Busy: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Overdue: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DragonError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def install(app: Flask) -> None:
    """Answer every error of the app with `application/problem+json`."""
    app.register_error_handler(errors.DragonError, _from_domain)
    app.register_error_handler(HTTPException, from_http)
    app.register_error_handler(Exception, _from_bug)


def status_of(error: errors.DragonError) -> HTTPStatus:
    """Return the HTTP status of an error: that of its nearest class in `STATUS`."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def _from_domain(error: errors.DragonError) -> Response:
    return problem(error, request_id.current())


def problem(error: errors.DragonError, request: str | None) -> Response:
    """Make the problem document of an error, for the request with that id."""
    response = Response(status=status_of(error))
    if isinstance(error, errors.DiskError):
        response.headers["Retry-After"] = "60"  # `Disk` logs it, once a minute
    elif response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("request_failed", reason=error.name, detail=str(error))
    if isinstance(error, errors.Busy) or error.facts.get("reason") == RefusalReason.BUSY:
        response.headers["Retry-After"] = str(error.facts.get("retry_after", 1))
    if isinstance(error, errors.Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"
    slug = error.name.replace("_", "-")
    type_ = f"urn:datadragon:problem:{slug}"
    return _fill(response, type_, error.name, str(error), error.facts, request=request)


def from_http(error: HTTPException) -> Response:
    """Make the problem document of an HTTP error."""
    plain = error.get_response()  # keeps headers such as Allow and Retry-After
    response = Response(status=plain.status_code, headers=dict(plain.headers))
    title, detail = title_of(error), sentence_of(error)
    return _fill(response, "about:blank", title, detail, {}, request=request_id.current())


def _from_bug(error: Exception) -> Response:
    logger.exception("unexpected_error", exc_info=error)
    response = Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)
    return _fill(
        response,
        "about:blank",
        "Internal Server Error",
        SENTENCES[HTTPStatus.INTERNAL_SERVER_ERROR],
        {},
        request=request_id.current(),
    )


def _fill(
    response: Response,
    type_: str,
    title: str,
    detail: str,
    facts: Mapping[str, object],
    *,
    request: str | None,
) -> Response:
    document = {"type": type_, "title": title, "status": response.status_code, "detail": detail}
    if request:
        document["request_id"] = request
        response.headers[request_id.HEADER] = request
    response.data = json.dumps({**facts, **document}, default=str)
    response.mimetype = "application/problem+json"
    return response
