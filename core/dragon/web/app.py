"""What every service's app has: problem documents, health, readiness, limits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from dragon.encoding import MAX_INTEGER, Json, check_id, parse
from dragon.errors import IntegerOutOfRange, NotAnInteger, UnknownMember
from dragon.web import problem

MAX_BODY: Final = 16 * 1024  # bytes; a claim is far smaller
MAX_PAGE: Final = 1000

Reasons = Callable[[], Iterable[str]]


def create(name: str, not_ready: Reasons, *, max_body: int = MAX_BODY) -> Flask:
    """An app with `/healthz` (the process answers) and `/readyz` (200, or 503 with the reasons).

    `not_ready` gives a sentence for each thing that keeps the service from doing its work.
    """
    app = Flask(name, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = max_body
    app.json.sort_keys = False  # type: ignore[attr-defined]
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    problem.install(app)

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @app.get("/readyz")
    def readyz() -> tuple[Response, int]:
        reasons = list(not_ready())
        status = "not ready" if reasons else "ready"
        return jsonify(status=status, reasons=reasons), 503 if reasons else 200

    return app


def body() -> Json:
    """The request's body as strict JSON. Raises InvalidEncoding; 413 where it is too large."""
    raw, most = request.get_data(cache=False), request.max_content_length
    # A body that does not state its length is cut at the limit, and not refused.
    if request.content_length is None and most is not None and len(raw) >= most:
        raise RequestEntityTooLarge
    return parse(raw)


def check_query(*names: str) -> None:
    """Refuse parameters that nobody will read: a misspelt filter must not pass for none."""
    for name in request.args:
        if name not in names:
            raise UnknownMember(f"there is no parameter {name[:64]!a} here", member=name[:64])


def query_integer(name: str, default: int, *, least: int = 0, most: int = MAX_INTEGER) -> int:
    """Raises NotAnInteger, IntegerOutOfRange."""
    text = request.args.get(name)
    if text is None:
        return default
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit():
        raise NotAnInteger(f"{name} is an integer", member=name)
    if len(text) > 17 or not least <= int(text) <= most:
        raise IntegerOutOfRange(f"{name} lies between {least} and {most}", member=name)
    return int(text)


def query_id(name: str) -> str | None:
    """Raises InvalidId."""
    text = request.args.get(name)
    return None if text is None else check_id(text, member=name)
