"""A connection of the server, while it waits for its client and no thread serves it."""

from __future__ import annotations

import selectors
import ssl
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final

from gunicorn import http
from gunicorn.workers.gthread import TConn

from dragon.net.deadlines import ServerSocket
from dragon.node.arriving_request import ArrivingRequest, HeadTooLarge
from dragon.node.connections import client_of

KEEP_ALIVE_SECONDS: Final = 2.0  # between two requests of a connection
RECEIVE_BYTES: Final = 16_384

_PROBLEM: Final = '{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}"}}'


class Step(Enum):
    """What the server does next with a connection."""

    WAIT = auto()  # for the client
    SERVE = auto()  # a request has arrived
    CLOSE = auto()


def problem_answer(status: int, title: str, detail: str) -> bytes:
    """Encode an answer with a problem document, after which the connection ends.

    Args: `title` and `detail`, texts without quotes and backslashes; nothing that a client sent.
    """
    body = _PROBLEM.format(title=title, status=status, detail=detail)
    lines = [
        f"HTTP/1.1 {status} {title}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(["Retry-After: 1"] if status == 503 else []),
    ]
    return "\r\n".join([*lines, "", body]).encode()


class GunicornConnection(TConn):  # type: ignore[misc]  # gunicorn ships no types
    """A client's connection. `advance` makes a step and never waits.

    It makes the TLS handshake, collects a request, sends the rest of a response, and lets the
    client read a last response before the connection is closed.
    """

    def __init__(
        self,
        cfg: Any,
        sock: ServerSocket,
        client: Any,
        server: Any,
        *,
        context: ssl.SSLContext | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            sock: the accepted socket.
            client: address of the client.
            server: address of the listening socket.
            context: TLS context of the service; None for plain HTTP.
        """
        sock.setblocking(False)
        near: Any = sock
        if context is not None:
            near = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        super().__init__(cfg, near, client, server)
        self.parser: Any = None
        self.initialized = True  # gunicorn makes no handshake and waits for nothing
        self.address = client_of(client[0] if isinstance(client, tuple) else "")
        self.request = ArrivingRequest()
        self.upgraded = self.closed = False
        self.wanted = selectors.EVENT_READ  # what the poller must wait for
        self.watched = 0  # what the poller waits for now
        self._monotonic = monotonic
        self._advance = self._receive if context is None else self._shake_hands
        self._idle = False
        self.deadline = monotonic() + near.receiving

    def advance(self) -> Step:
        """Make a step. Raises OSError: the connection is broken."""
        try:
            return self._advance()
        except (BlockingIOError, ssl.SSLWantReadError):
            self.wanted = selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            self.wanted = selectors.EVENT_WRITE
        except HeadTooLarge:
            return self.refuse(431, "Request Header Fields Too Large", "the headers are too large")
        return Step.WAIT

    def _shake_hands(self) -> Step:
        self.sock.do_handshake()
        self._advance = self._receive
        return self._receive()

    def _receive(self) -> Step:
        while not self.request.is_ready:
            data = self.sock.recv(RECEIVE_BYTES)
            if not data:
                return Step.CLOSE
            self._feed(data)
        return Step.SERVE

    def _feed(self, data: bytes) -> None:
        if self._idle:
            self._idle = False
            self.deadline = self._monotonic() + self.sock.receiving
        self.request.feed(data)

    def hand_over(self) -> None:
        """Give the collected bytes to gunicorn's parser. A thread can then serve the request."""
        if self.parser is None:
            self.parser = http.get_parser(self.cfg, self.sock, self.client)
        self.parser.unreader.unread(self.request.take())

    def take_back(self, *, keep: bool) -> Step:
        """Wait for the client again after a thread has served a request.

        Args:
            keep: whether the client may send another request.

        Raises OSError: the connection is broken.
        """
        self.sock.setblocking(False)
        self.deadline = self._monotonic() + self.sock.answering
        self._advance = self._flush_and_receive if keep else self._flush_and_end
        return self.advance()

    def _flush_and_receive(self) -> Step:
        if not self.sock.flush():
            return self._wait_to_send()
        self._advance, self._idle = self._receive, True
        self.wanted = selectors.EVENT_READ
        self.deadline = self._monotonic() + KEEP_ALIVE_SECONDS
        if data := self.parser.unreader.take_buffered():  # sent behind the previous request
            self._feed(data)
        return self._receive()

    def _flush_and_end(self) -> Step:
        if not self.sock.flush():
            return self._wait_to_send()
        self.sock.half_close()
        self._advance = self._linger
        self.wanted = selectors.EVENT_READ
        self.deadline = self._monotonic() + self.sock.lingering
        return self._linger()

    def _wait_to_send(self) -> Step:
        self.wanted = selectors.EVENT_WRITE
        return Step.WAIT

    def _linger(self) -> Step:
        return Step.CLOSE if self.sock.discard() else Step.WAIT

    def refuse(self, status: int, title: str, detail: str) -> Step:
        """Answer with a problem document, without waiting, and end the connection.

        Raises OSError: the connection is broken.
        """
        self.sock.send_now(problem_answer(status, title, detail))
        return self.take_back(keep=False)

    def close(self, graceful: bool = False) -> None:
        self.closed = True
        super().close()

    def shorten(self, seconds: float) -> None:
        """End the connection after that time at the latest."""
        self.deadline = min(self.deadline, self._monotonic() + seconds)
