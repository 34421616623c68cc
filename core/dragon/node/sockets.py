"""The WebSockets of a service: how many may be open, and their end when the service stops."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from flask import Flask, request
from simple_websocket import Server
from werkzeug.exceptions import BadRequest

from dragon import errors
from dragon.node.websocket import GOING_AWAY, Connection

MAX_SOCKETS_PER_ADDRESS: Final = 16
RESERVED_THREADS: Final = 16  # threads that sockets never use


class _Unstarted:
    """Replaces the library's reading thread: the thread that serves the request reads."""

    def __init__(self, target: object) -> None:
        self.name = "unstarted"

    def start(self) -> None:
        """Do nothing; `Connection.serve` reads."""


class Sockets:
    """All sockets of a service: limits their number, and closes them when the service stops."""

    def __init__(self, threads: int, monotonic: Callable[[], float]) -> None:
        self.capacity = max(1, threads - RESERVED_THREADS)
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards the following attributes
        self._addresses: Counter[str] = Counter()
        self._open: set[Connection] = set()
        self._stopping = False

    def __len__(self) -> int:
        return len(self._open)

    def install(self, app: Flask) -> None:
        """Make flask-sock's sockets read on the thread of their request."""
        app.config["SOCK_SERVER_OPTIONS"] = {"thread_class": _Unstarted}

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """Reserve a place for the socket of the current request, before the upgrade.

        Raises:
            TooManySockets: the service or the client's address has too many sockets.
            BadRequest: the request is not a WebSocket handshake of version 13.
        """
        # No extensions: a compressed message could expand without limit.
        request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
        headers = request.headers
        if headers.get("Sec-WebSocket-Version") != "13" or "Sec-WebSocket-Key" not in headers:
            raise BadRequest("expected a WebSocket handshake with a key and version 13")
        address = request.remote_addr or ""
        with self._lock:
            if self._stopping or self._addresses.total() >= self.capacity:
                raise errors.TooManySockets(
                    f"all {self.capacity} sockets are in use; try again later"
                )
            if self._addresses[address] >= MAX_SOCKETS_PER_ADDRESS:
                raise errors.TooManySockets(
                    f"one address may open at most {MAX_SOCKETS_PER_ADDRESS} sockets"
                )
            self._addresses[address] += 1
        try:
            yield
        finally:
            with self._lock:
                self._addresses[address] -= 1
                self._addresses += Counter()

    @contextmanager
    def connection(self, server: Server) -> Iterator[Connection]:
        """Register an accepted socket, so that it is closed when the service stops."""
        made = Connection(server, self._monotonic)
        with self._lock:
            self._open.add(made)
            if self._stopping:
                made.close(GOING_AWAY, "the service is stopping")
        try:
            yield made
        finally:
            with self._lock:
                self._open.discard(made)

    def run(self, stop: threading.Event) -> None:
        """Wait until the service stops, then close every socket."""
        stop.wait()
        with self._lock:
            self._stopping = True
            for connection in self._open:
                connection.close(GOING_AWAY, "the service is stopping")
