"""WebSockets on a service's own threads.

One thread owns a socket for its life: it alone reads, writes and closes. Others only leave messages
for it. No frame is ever held whole, none is decompressed, and a peer that does not read, does not
answer or does not go away is left behind in bounded time.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

from flask import Flask, request
from simple_websocket import Server
from werkzeug.exceptions import BadRequest
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Message,
    Ping,
    Pong,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from dragon import errors
from dragon.net.deadlines import ServerSocket

RECEIVE_BYTES: Final = 65_536
MAX_TEXT_BYTES: Final = 4096  # bytes of a text message
MAX_QUEUED_MESSAGES: Final = 1024  # messages that others have left and the peer has not taken
SEND_TIMEOUT_SECONDS: Final = 5.0
PING_AFTER_SECONDS: Final = 20.0  # seconds in which nothing came
SILENCE_TIMEOUT_SECONDS: Final = 45.0  # seconds after which a peer is gone
MAX_SOCKETS_PER_ADDRESS: Final = 16  # sockets of one address
RESERVED_THREADS: Final = 16  # threads that are never taken by sockets
MAX_CLOSE_REASON_BYTES: Final = 120  # bytes of a reason for closing

# Codes of RFC 6455, 7.4.1.
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
NO_STATUS: Final = 1005
NOT_TEXT: Final = 1007
POLICY: Final = 1008
TOO_BIG: Final = 1009


class Closed(Exception):  # not DragonError: it never leaves the thread that serves the socket
    """The connection is to be closed, with a code of RFC 6455 and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Handler(Protocol):
    """What a service does with a socket. Both may raise Closed."""

    def on_bytes(self, piece: bytes | bytearray, *, finished: bool) -> None:
        """A piece of a binary message, as it comes."""

    def on_text(self, text: str) -> None:
        """A whole text message."""


class Connection:
    """One accepted WebSocket."""

    def __init__(self, server: Server, monotonic: Callable[[], float]) -> None:
        self._server = server
        self._socket: socket.socket = server.sock
        self._frames = server.ws
        self._monotonic = monotonic
        self._left: deque[str] = deque()
        self._closing: Closed | None = None
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._text = ""
        self._peer_closed = False
        self._heard = self._pinged = monotonic()

    # For other threads

    def send(self, message: str) -> None:
        """Leave a text message. A peer that lets too many of them lie is closed."""
        if len(self._left) >= MAX_QUEUED_MESSAGES:
            self.close(POLICY, "it reads too slowly")
            return
        self._left.append(message)
        self._wake()

    def close(self, code: int, reason: str) -> None:
        """Have the connection closed. The first reason counts."""
        self._closing = self._closing or Closed(code, reason)
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):  # full: it will wake anyway; closed: it has ended
            self._waker.send(b"\0")

    # For the thread that owns it

    def serve(
        self,
        handler: Handler,
        *,
        begin: Callable[[], None] = lambda: None,
        end: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Until either side closes, or the peer is gone. `end` is told whether the peer closed."""
        if isinstance(self._socket, ServerSocket):
            self._socket.upgrade()
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ)
                selector.register(self._woken, selectors.EVENT_READ)
                begin()
                while self._server.connected:
                    self._turn(selector, handler)
        except Closed as closed:
            self._say_close(closed)
        except (OSError, LocalProtocolError, RemoteProtocolError):
            pass  # the peer is gone, or speaks something else
        finally:
            end(self._peer_closed)
            self._server.connected = False
            self._waker.close()
            self._woken.close()

    def _turn(self, selector: selectors.BaseSelector, handler: Handler) -> None:
        ready = {key.fileobj for key, _ in selector.select(PING_AFTER_SECONDS / 4)}
        if self._woken in ready:
            self._woken.recv(4096)
        if self._socket in ready:
            self._receive(handler)
        while self._left:
            self._write(self._frames.send(TextMessage(data=self._left.popleft())))
        if self._closing is not None:
            raise self._closing
        self._beat()

    def _receive(self, handler: Handler) -> None:
        data = self._socket.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("the peer is gone")
        self._heard = self._monotonic()
        self._frames.receive_data(data)
        for event in self._frames.events():
            self._take(event, handler)

    def _take(self, event: Any, handler: Handler) -> None:
        match event:
            case BytesMessage():
                handler.on_bytes(event.data, finished=event.message_finished)
            case TextMessage():
                self._text += event.data
                if len(self._text.encode()) > MAX_TEXT_BYTES:
                    raise Closed(TOO_BIG, f"a text message has at most {MAX_TEXT_BYTES} bytes")
                if event.message_finished:
                    text, self._text = self._text, ""
                    handler.on_text(text)
            case Ping():
                self._write(self._frames.send(event.response()))
            case CloseConnection():
                with suppress(LocalProtocolError):
                    self._write(self._frames.send(event.response()))
                self._peer_closed = event.code in {NORMAL, GOING_AWAY, NO_STATUS}
                self._server.connected = False
            case Pong() | Message():
                pass

    def _beat(self) -> None:
        now = self._monotonic()
        if now - self._heard > SILENCE_TIMEOUT_SECONDS:
            raise Closed(POLICY, f"nothing was heard for {SILENCE_TIMEOUT_SECONDS:.0f} s")
        if now - max(self._heard, self._pinged) > PING_AFTER_SECONDS:
            self._pinged = now
            self._write(self._frames.send(Ping()))

    def _write(self, data: bytes) -> None:
        self._socket.settimeout(SEND_TIMEOUT_SECONDS)  # for all of it
        self._socket.sendall(data)

    def _say_close(self, closed: Closed) -> None:
        reason = closed.reason.encode()[:MAX_CLOSE_REASON_BYTES].decode(errors="ignore")
        with suppress(OSError, LocalProtocolError):
            while self._left:
                self._write(self._frames.send(TextMessage(data=self._left.popleft())))
            self._write(self._frames.send(CloseConnection(closed.code, reason)))


class _Unstarted:
    """In the place of the library's reading thread: the thread that serves the request reads."""

    def __init__(self, target: object) -> None:
        self.name = "unstarted"

    def start(self) -> None:
        """Nothing: see `Connection.serve`."""


class Sockets:
    """All the sockets of a service: how many there may be, and their end when it stops."""

    def __init__(self, threads: int, monotonic: Callable[[], float]) -> None:
        self.capacity = max(1, threads - RESERVED_THREADS)
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards what follows
        self._addresses: Counter[str] = Counter()
        self._open: set[Connection] = set()
        self._stopping = False

    def __len__(self) -> int:
        return len(self._open)

    def install(self, app: Flask) -> None:
        """Have flask-sock make sockets that read on the thread of their request."""
        app.config["SOCK_SERVER_OPTIONS"] = {"thread_class": _Unstarted}

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """A place for the socket that the request asks for. Asked before the upgrade.

        Raises TooManySockets; BadRequest: no handshake of version 13.
        """
        # What nobody decompresses cannot explode.
        request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
        headers = request.headers
        if headers.get("Sec-WebSocket-Version") != "13" or "Sec-WebSocket-Key" not in headers:
            raise BadRequest("a WebSocket's handshake has a key, and version 13")
        address = request.remote_addr or ""
        with self._lock:
            if self._stopping or self._addresses.total() >= self.capacity:
                raise errors.TooManySockets(f"at most {self.capacity} sockets are served at once")
            if self._addresses[address] >= MAX_SOCKETS_PER_ADDRESS:
                raise errors.TooManySockets(
                    f"at most {MAX_SOCKETS_PER_ADDRESS} sockets of one address"
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
        made = Connection(server, self._monotonic)
        with self._lock:
            self._open.add(made)
            if self._stopping:
                made.close(GOING_AWAY, "the service stops")
        try:
            yield made
        finally:
            with self._lock:
                self._open.discard(made)

    def run(self, stop: threading.Event) -> None:
        """Waits until the service stops, and closes every socket."""
        stop.wait()
        with self._lock:
            self._stopping = True
            for connection in self._open:
                connection.close(GOING_AWAY, "the service stops")
