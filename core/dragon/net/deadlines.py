"""Sockets that end on time: one deadline for a whole exchange, not one for every read.

The usual timeout bounds each read on its own, so a peer that sends a byte a second holds its caller
for hours. A `DeadlineSocket` counts the seconds from the last `settimeout` on. The same holds over
TLS, where the handshake is part of the exchange; `dragon.net.tls` makes those sockets.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class DeadlineSocket(socket.socket):
    """A socket on which `settimeout(t)` gives everything that follows t seconds in all."""

    _ends: float | None = None
    budget: int | None = None  # bytes that may still be received; no bound if None

    @classmethod
    def adopt(cls, plain: socket.socket) -> DeadlineSocket:
        """Take over a connected socket; the old object is no longer usable."""
        timeout = plain.gettimeout()
        adopted = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        adopted.settimeout(timeout)
        return adopted

    def inherit(self, plain: DeadlineSocket) -> None:
        """Go on with the deadline and the budget of the socket that this one was made from."""
        self._ends, self.budget = plain._ends, plain.budget

    def settimeout(self, value: float | None, /) -> None:
        self._ends = time.monotonic() + value if value else None
        super().settimeout(value)

    def _receive_by(self) -> float | None:
        return self._ends

    @contextmanager
    def _on_time(self, ends: float | None) -> Iterator[None]:
        """What is done in here has what is left until `ends`."""
        if ends is not None:
            if (left := ends - time.monotonic()) <= 0:
                raise self.timeout_error()
            super().settimeout(left)
        try:
            yield
        except TimeoutError:
            raise self.timeout_error() from None

    def timeout_error(self) -> OSError:
        return TimeoutError("the deadline has passed")

    def _spend(self, received: int) -> None:
        """A peer may make the library read without end in one call (a chunk of size -1, say)."""
        if self.budget is not None:
            self.budget -= received
            if self.budget < 0:
                raise ConnectionAbortedError(errno.ECONNABORTED, "more bytes than any answer has")

    def recv(self, *args: Any) -> bytes:
        with self._on_time(self._receive_by()):
            received = super().recv(*args)
        self._spend(len(received))
        return received

    def recv_into(self, *args: Any) -> int:
        with self._on_time(self._receive_by()):
            received = super().recv_into(*args)
        self._spend(received)
        return received

    def send(self, *args: Any) -> int:
        with self._on_time(self._ends):
            return super().send(*args)

    def sendall(self, *args: Any) -> None:
        with self._on_time(self._ends):
            super().sendall(*args)


class TlsSocket(DeadlineSocket, ssl.SSLSocket):
    """A `DeadlineSocket` that speaks TLS.

    OpenSSL keeps the seconds that are left over all the records that one call takes, and bounds
    what the protocol itself may send (certificates of 100 KB). The budget counts what comes out.
    """

    def do_handshake(self, block: bool = False) -> None:
        with self._on_time(self._receive_by()):
            ends = self._ends
            try:
                super().do_handshake(block)
            finally:
                self._ends = ends  # the library has set its timeout anew, which is no new span


class ServerSocket(DeadlineSocket):
    """The server's side: a request has to arrive whole within `receiving` seconds of the moment a
    thread takes it up, a handshake before it included, and the answer to be taken within
    `answering`.

    gunicorn makes a socket blocking when a request begins, perhaps twice; here that starts both
    spans. They end when it is made non-blocking again.
    """

    receiving: float = 3.0
    answering: float = 15.0
    lingering: float = 0.5
    _received_by: float | None = None
    _gone = False

    def inherit(self, plain: DeadlineSocket) -> None:
        super().inherit(plain)
        if isinstance(plain, ServerSocket):
            self._received_by = plain._received_by

    def setblocking(self, flag: bool, /) -> None:
        if not flag:
            self._ends = self._received_by = None
            super().setblocking(False)
        elif self._received_by is None:
            self.settimeout(self.answering)
            self._received_by = time.monotonic() + self.receiving

    def upgrade(self) -> None:
        """What follows is no request: whoever owns the connection bounds each call itself."""
        self._ends = self._received_by = None
        self.receiving = self.answering = float("inf")

    def _receive_by(self) -> float | None:
        return self._received_by

    def timeout_error(self) -> OSError:
        # What gunicorn takes for a client that went away, which is what we make of it.
        return ConnectionResetError(errno.ECONNRESET, "the client was too slow")

    def linger_close(self) -> None:
        """Half-close, and give the client a moment to close too, so that it reads our answer whole.

        gunicorn would do this in its main loop, two seconds for each client that never closes, and
        serve nobody meanwhile. Here it is done on the thread that served the request.
        """
        ends = time.monotonic() + self.lingering
        with suppress(OSError):
            self._say_last()
            socket.socket.shutdown(self, socket.SHUT_WR)
            while (left := ends - time.monotonic()) > 0:
                socket.socket.settimeout(self, left)
                if not socket.socket.recv(self, 16_384):
                    break
        self._gone = True

    def _say_last(self) -> None:
        """What the protocol says at the end, without waiting."""

    def shutdown(self, how: int, /) -> None:
        if self._gone:
            raise OSError(errno.ENOTCONN, "said goodbye already")
        super().shutdown(how)


class TlsServerSocket(ServerSocket, TlsSocket):
    """A `ServerSocket` that speaks TLS. What is no TLS is a client that went away."""

    @contextmanager
    def _on_time(self, ends: float | None) -> Iterator[None]:
        try:
            with super()._on_time(ends):
                yield
        except ssl.SSLError as error:
            said = error.reason or type(error).__name__
            raise ConnectionResetError(errno.ECONNRESET, f"no TLS: {said}") from None

    def _say_last(self) -> None:
        """`close_notify`, by which the client knows that nothing was cut off. Not blocking: the
        client's own is not waited for, and one that takes nothing any more does not get ours."""
        socket.socket.settimeout(self, 0.0)
        with suppress(OSError, ValueError):  # no handshake, or a connection that is gone
            self.unwrap()
