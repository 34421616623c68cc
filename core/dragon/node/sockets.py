"""The WebSockets of a service: how many may be open, and their end when the service stops.

The owner of a stream, who has shown its token, has places of its own, and so have listeners without
a token. Listeners can therefore never keep an owner out.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

from flask import Flask, request
from simple_websocket import Server

from dragon import errors
from dragon.node.connections import client_of
from dragon.node.http_errors import NO_UPGRADE, BadHandshake
from dragon.node.websocket import GOING_AWAY, Connection

MAX_LISTENERS_PER_ADDRESS: Final = 16  # WebSockets without a token
RESERVED_THREADS: Final = 16  # threads that sockets never use
KEY_BYTES: Final = 16  # of the header `Sec-WebSocket-Key` (RFC 6455, section 4.1)
HTTP_1_1: Final = "HTTP/1.1"
_ORIGIN: Final = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?", re.ASCII)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class _Unstarted:
    """Replaces the library's reading thread: the thread that serves the request reads."""

    def __init__(self, target: object) -> None:
        self.name = "unstarted"

    def start(self) -> None:
        """Do nothing; `Connection.serve` reads."""


class _Places:
    """Sockets of one kind: how many may be open, in all and for one address."""

    def __init__(self, kind: str, most: int, most_per_address: int) -> None:
        self.kind, self.most, self.most_per_address = kind, most, most_per_address
        self.taken: Counter[str] = Counter()

    def take(self, address: str) -> None:
        """Take a place. Raises TooManySockets."""
        if self.taken.total() >= self.most:
            message = f"all {self.most} sockets for {self.kind} are in use; try again later"
            raise errors.TooManySockets(message)
        if self.taken[address] >= self.most_per_address:
            message = f"one address may open at most {self.most_per_address} sockets without token"
            raise errors.TooManySockets(message)
        self.taken[address] += 1

    def give_back(self, address: str) -> None:
        self.taken[address] -= 1
        self.taken += Counter()  # drops the addresses without a socket


class Sockets:
    """All sockets of a service: limits their number, and closes them when the service stops."""

    def __init__(
        self,
        capacity: int,
        monotonic: Callable[[], float],
        origins: Collection[str] = (),
    ) -> None:
        """
        Args:
            capacity: sockets that may be open. Half of them are for owners.
            monotonic: a clock, in seconds.
            origins: origins of web pages that may open sockets, besides the service's own host.
        """
        owners = max(1, capacity // 2)
        listeners = max(1, capacity - owners)
        self._owners = _Places("owners", owners, owners)
        self._listeners = _Places(
            "listeners", listeners, min(MAX_LISTENERS_PER_ADDRESS, max(1, listeners // 2))
        )
        self._monotonic = monotonic
        self._origins = frozenset(map(normal_origin, origins))
        self._lock = threading.Lock()  # guards the places and the following attributes
        self._open: set[Connection] = set()
        self._stopping = False

    def __len__(self) -> int:
        return len(self._open)

    @property
    def owners(self) -> int:
        """The number of sockets that owners have open."""
        return self._owners.taken.total()

    def install(self, app: Flask) -> None:
        """Make flask-sock's sockets read on the thread of their request."""
        app.config["SOCK_SERVER_OPTIONS"] = {"thread_class": _Unstarted}

    @contextmanager
    def reserve(self, *, owner: bool) -> Iterator[None]:
        """Reserve a place for the socket of the current request, before the upgrade.

        Args:
            owner: whether the request has shown the token of its stream.

        Raises:
            TooManySockets: the service or the client's address has too many sockets.
            ForeignOrigin: a web page of another site opens the socket.
            BadHandshake: the request is not a WebSocket handshake of version 13.
        """
        _check_handshake()
        self._check_origin()
        places = self._owners if owner else self._listeners
        address = client_of(request.remote_addr or "")
        with self._lock:
            if self._stopping:
                raise errors.TooManySockets("the service is stopping; try again later")
            places.take(address)
        try:
            yield
        finally:
            with self._lock:
                places.give_back(address)

    def _check_origin(self) -> None:
        """Refuse web pages of other sites: a browser opens sockets for any page.

        Raises ForeignOrigin.
        """
        origin = request.headers.get("Origin")
        if origin is None:
            return
        try:
            origin = normal_origin(origin)
            own = normal_origin(f"{origin.partition('://')[0]}://{request.host}")
        except ValueError:  # "null", or no origin at all
            own = None
        if origin != own and origin not in self._origins:
            message = (
                "web pages of this origin may not open sockets here; the setting STREAM_ORIGINS "
                "lists those that may"
            )
            raise errors.ForeignOrigin(message)

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


def normal_origin(text: str) -> str:
    """Return an origin in the form of RFC 6454: lower case, without the default port.

    Some proxies add the default port to the host, and browsers never do. Raises ValueError: it is
    not a scheme with host and port, or the scheme is not http or https.
    """
    if (found := _ORIGIN.fullmatch(text.strip().lower())) is None:
        raise ValueError(f"{text!r} is not an origin, such as https://app.example")
    scheme, host, port = found.groups()
    default = port is None or int(port) == _DEFAULT_PORTS[scheme]
    return f"{scheme}://{host}" if default else f"{scheme}://{host}:{int(port)}"


def _check_handshake() -> None:
    """Check the handshake of the current request (RFC 6455, section 4.2.1). Raises BadHandshake."""
    # No extensions: a compressed message could expand without limit.
    request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    if request.environ.get("SERVER_PROTOCOL") != HTTP_1_1:
        raise BadHandshake("no WebSocket handshake arrived: it needs HTTP/1.1")
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise BadHandshake(NO_UPGRADE)
    if request.headers.get("Sec-WebSocket-Version") != "13":
        raise BadHandshake("expected a WebSocket handshake of version 13")
    try:
        key = base64.b64decode(request.headers.get("Sec-WebSocket-Key", ""), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise BadHandshake(f"expected a Sec-WebSocket-Key of {KEY_BYTES} bytes in Base64")
