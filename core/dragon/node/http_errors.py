"""Sentences for HTTP errors: which address, method or body was refused, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from flask import has_request_context, request
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed
from werkzeug.routing import WebsocketMismatch

SENTENCES: Final[Mapping[int, str]] = {
    400: "the request cannot be understood; /openapi.json describes what this service takes",
    401: "the request needs a valid token: `Authorization: Bearer …`",
    403: "this request is not allowed here",
    404: "there is nothing at this address; /openapi.json lists the addresses of this service",
    406: "this service cannot answer in the requested form",
    408: "the request did not arrive in time; send it again",
    411: "the length of the body must be stated in the header Content-Length",
    413: "the body is longer than this service takes; /openapi.json describes the limits",
    414: "the address is too long",
    415: "the body has a type that this service does not take; send application/json",
    429: "there are too many requests; try again later",
    431: "the header is too long",
    500: "an unexpected error occurred in this service; its log has the details",
    503: "the service cannot answer now; try again later",
}
NO_UPGRADE: Final = "no WebSocket handshake arrived: the header Upgrade: websocket is missing"


class BadHandshake(BadRequest):
    """No WebSocket handshake (HTTP 400). Its sentence is one of this project."""


def sentence_of(error: HTTPException) -> str:
    """Return what was wrong with a request, without the text of a library."""
    if isinstance(error, BadHandshake):
        return str(error.description)
    if isinstance(error, WebsocketMismatch):  # the router's, before any check of a handshake
        return _websocket_mismatch()
    if isinstance(error, MethodNotAllowed) and error.valid_methods and has_request_context():
        allowed = ", ".join(sorted(error.valid_methods))
        return f"this address does not take {request.method}; it takes {allowed}"
    code = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    return SENTENCES.get(code, f"the request was answered with HTTP status {int(code)}")


def _websocket_mismatch() -> str:
    if has_request_context() and request.headers.get("Upgrade", "").lower() == "websocket":
        return "this address takes no WebSocket"
    return NO_UPGRADE


def title_of(error: HTTPException) -> str:
    """Return the name of an HTTP error's status, as RFC 9110 has it."""
    try:
        return HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR).phrase
    except ValueError:
        return "HTTP error"
