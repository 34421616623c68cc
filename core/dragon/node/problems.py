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
from dragon.node.log_format import get_logger

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
    errors.InvalidProof: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ProofRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ProvingError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.WorkerDied: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.AttestationRefused: HTTPStatus.CONFLICT,
    errors.LedgerError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.LogError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.PeerError: HTTPStatus.BAD_GATEWAY,
    errors.NotCertified: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.NotListed: HTTPStatus.FORBIDDEN,
    errors.AlreadyMade: HTTPStatus.CONFLICT,
    errors.StreamStopped: HTTPStatus.CONFLICT,
    errors.WrongOffset: HTTPStatus.CONFLICT,
    errors.TooManySockets: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Busy: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Overdue: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DragonError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def install(app: Flask) -> None:
    """Answer every error of the app with `application/problem+json`."""
    app.register_error_handler(errors.DragonError, _from_domain)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(Exception, _from_bug)


def status_of(error: errors.DragonError) -> HTTPStatus:
    """Return the HTTP status of an error: that of its nearest class in `STATUS`."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def _from_domain(error: errors.DragonError) -> Response:
    response = Response(status=status_of(error))
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("request_failed", reason=error.name, detail=str(error))
    if isinstance(error, errors.Busy):
        response.headers["Retry-After"] = str(error.facts.get("retry_after", 1))
    if isinstance(error, errors.Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"
    slug = error.name.replace("_", "-")
    return _fill(response, f"urn:datadragon:problem:{slug}", error.name, str(error), error.facts)


def _from_http(error: HTTPException) -> Response:
    plain = error.get_response()  # keeps headers such as Allow and Retry-After
    response = Response(status=plain.status_code, headers=dict(plain.headers))
    return _fill(response, "about:blank", error.name, error.description or "", {})


def _from_bug(error: Exception) -> Response:
    logger.exception("unexpected_error", exc_info=error)
    response = Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)
    return _fill(
        response,
        "about:blank",
        "Internal Server Error",
        "an unexpected error occurred in this service; its log has the details",
        {},
    )


def _fill(
    response: Response, type_: str, title: str, detail: str, facts: Mapping[str, object]
) -> Response:
    problem = {"type": type_, "title": title, "status": response.status_code, "detail": detail}
    if name := request_id.current():
        problem["request_id"] = name
    response.data = json.dumps({**facts, **problem}, default=str)
    response.mimetype = "application/problem+json"
    return response
