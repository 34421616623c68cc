"""Whether the client of a request has closed its connection, so that its work can be cancelled.

A server offers this under `ENVIRON_KEY` in the WSGI environment of a request: a function without
arguments that returns at once. It may be called from any thread while the request is served.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

ENVIRON_KEY: Final = "dragon.client_gone"


def of_request(environ: dict[str, Any]) -> Callable[[], bool]:
    """Return the function that says whether the client has gone; it is False without support."""
    gone: Callable[[], bool] = environ.get(ENVIRON_KEY, lambda: False)
    return gone


def from_socket(app: WSGIApplication) -> WSGIApplication:
    """Let an app under gunicorn see whether a client has closed its connection."""

    def call(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        sock = environ.get("gunicorn.socket")
        if sock is not None:
            environ[ENVIRON_KEY] = lambda: _has_ended(sock)
        return app(environ, start_response)

    return call


def _has_ended(sock: socket.socket) -> bool:
    """Whether the peer has closed or reset the connection, even if unread bytes came before."""
    poll = select.poll()
    try:
        poll.register(sock, select.POLLRDHUP)
    except (OSError, ValueError):
        return True  # it is closed on this side
    return bool(poll.poll(0))
