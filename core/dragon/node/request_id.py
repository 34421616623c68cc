"""A request id for every request: in the response, in problem documents, and in log messages.

The caller may choose it in the header `X-Request-ID`, to trace a request through several services.
"""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Callable
from typing import Final

from flask import Flask, Response, g, has_request_context, request
from structlog.contextvars import bind_contextvars, reset_contextvars

HEADER: Final = "X-Request-ID"
_STATED: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def install(app: Flask) -> None:
    """Assign an id to every request of the app."""
    begun, numbers = uuid.uuid4().hex[:20], itertools.count()

    def begin() -> None:
        _begin(lambda: f"{begun}{next(numbers):012x}")

    app.before_request(begin)
    app.after_request(_state)
    app.teardown_request(_end)


def current() -> str | None:
    """Return the id of the current request; None outside a request, or if it has no id."""
    return g.get("request_id") if has_request_context() else None


def _begin(following: Callable[[], str]) -> None:
    """Args: `following`, returns an id that nothing else has, without asking for randomness."""
    stated = request.headers.get(HEADER, "")
    g.request_id = stated if _STATED.fullmatch(stated) else following()
    g.bound = bind_contextvars(request_id=g.request_id)


def _state(response: Response) -> Response:
    if name := current():
        response.headers[HEADER] = name
    return response


def _end(_error: BaseException | None) -> None:
    # Reset, not cleared: in a fleet within one process, requests of several services are nested.
    reset_contextvars(**g.pop("bound", {}))
