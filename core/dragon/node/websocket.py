"""WebSockets on the threads of a service.

One thread owns a socket: only this thread reads, writes and closes it; other threads queue
messages. Frames are never buffered whole and never decompressed. A peer that does not read, answer
or close is disconnected after a bounded time.
"""

from __future__ import annotations

import selectors
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from simple_websocket import Server
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Message,
    Ping,
    Pong,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from dragon.net.deadlines import ServerSocket
from dragon.node.frame_reader import FrameReader

RECEIVE_BYTES: Final = 65_536
MAX_TEXT_BYTES: Final = 4096  # of a text message
MAX_QUEUED_MESSAGES: Final = 1024  # messages that the peer has not read yet
SEND_TIMEOUT_SECONDS: Final = 5.0  # for one frame
PING_AFTER_SECONDS: Final = 20.0  # without anything received
SILENCE_TIMEOUT_SECONDS: Final = 45.0  # without anything received: the peer is disconnected
MAX_CLOSE_REASON_BYTES: Final = 120

# Codes of RFC 6455, section 7.4.1.
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
NO_STATUS: Final = 1005
NOT_TEXT: Final = 1007
POLICY: Final = 1008
TOO_BIG: Final = 1009
INTERNAL: Final = 1011
TRY_AGAIN: Final = 1013  # "try again later", of IANA's registry


class Closed(Exception):  # not DragonError: it never leaves the thread that serves the socket
    """Closes the connection with a code of RFC 6455 and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Handler(Protocol):
    """What a service does with received messages. Both methods may raise Closed."""

    def on_bytes(self, piece: bytes | bytearray, *, finished: bool) -> None:
        """Handle a piece of a binary message; `finished` marks the last piece."""

    def on_text(self, text: str) -> None:
        """Handle a whole text message."""


class Connection:
    """One accepted WebSocket."""

    def __init__(self, server: Server, monotonic: Callable[[], float]) -> None:
        self._server = server
        self._socket: socket.socket = server.sock
        self._frames = server.ws
        self._reader = FrameReader(self._frames.receive_data, self._frames.events)
        self._monotonic = monotonic
        self._queued: deque[str] = deque()
        self._closing: Closed | None = None
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._text = ""
        self._peer_closed = False
        self._received_at = self._pinged_at = monotonic()

    # Called by other threads

    def send(self, message: str) -> None:
        """Queue a text message. If too many messages are queued, the connection is closed."""
        if len(self._queued) >= MAX_QUEUED_MESSAGES:
            self.close(TRY_AGAIN, "the peer reads too slowly")
            return
        self._queued.append(message)
        self._wake()

    def close(self, code: int, reason: str) -> None:
        """Ask the owning thread to close the connection. The first reason is used."""
        self._closing = self._closing or Closed(code, reason)
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):  # full: the thread will wake anyway; closed: it has ended
            self._waker.send(b"\0")

    # Called by the owning thread

    def serve(
        self,
        handler: Handler,
        *,
        begin: Callable[[], None] = lambda: None,
        end: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Serve the connection until either side closes it or the peer is disconnected.

        Args:
            handler: handles received messages.
            begin: called before the first message is read.
            end: called at the end, with True if the peer closed the connection properly.
        """
        if isinstance(self._socket, ServerSocket):
            self._socket.upgrade()
        try:
            with selectors.PollSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ)
                selector.register(self._woken, selectors.EVENT_READ)
                begin()
                while self._server.connected:
                    self._turn(selector, handler)
        except Closed as closed:
            self._send_close(closed)
        except (OSError, LocalProtocolError, RemoteProtocolError):
            pass  # the peer has disconnected, or violates the protocol
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
        while self._queued:
            self._write(self._frames.send(TextMessage(data=self._queued.popleft())))
        if self._closing is not None:
            raise self._closing
        self._check_silence()

    def _receive(self, handler: Handler) -> None:
        data = self._socket.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("the peer has disconnected")
        self._received_at = self._monotonic()
        for event in self._reader.read(data, handler.on_bytes):
            self._handle(event, handler)

    def _handle(self, event: Any, handler: Handler) -> None:
        match event:
            case BytesMessage():
                handler.on_bytes(event.data, finished=event.message_finished)
            case TextMessage():
                self._text += event.data
                if len(self._text.encode()) > MAX_TEXT_BYTES:
                    raise Closed(
                        TOO_BIG, f"a text message must have at most {MAX_TEXT_BYTES} bytes"
                    )
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

    def _check_silence(self) -> None:
        now = self._monotonic()
        if now - self._received_at > SILENCE_TIMEOUT_SECONDS:
            raise Closed(TRY_AGAIN, f"nothing was received for {SILENCE_TIMEOUT_SECONDS:.0f} s")
        if now - max(self._received_at, self._pinged_at) > PING_AFTER_SECONDS:
            self._pinged_at = now
            self._write(self._frames.send(Ping()))

    def _write(self, data: bytes) -> None:
        self._socket.settimeout(SEND_TIMEOUT_SECONDS)
        self._socket.sendall(data)

    def _send_close(self, closed: Closed) -> None:
        reason = closed.reason.encode()[:MAX_CLOSE_REASON_BYTES].decode(errors="ignore")
        with suppress(OSError, LocalProtocolError):
            while self._queued:
                self._write(self._frames.send(TextMessage(data=self._queued.popleft())))
            self._write(self._frames.send(CloseConnection(closed.code, reason)))
