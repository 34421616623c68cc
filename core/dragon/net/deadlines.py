"""Sockets with one deadline for a whole exchange instead of one timeout for every read.

With an ordinary timeout, a peer that sends one byte a second can hold its caller for hours. A
`DeadlineSocket` counts the seconds since the last `settimeout`. Over TLS the handshake is part of
the exchange; `dragon.net.tls` makes those sockets.
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
    """A socket on which `settimeout(t)` limits all following calls to t seconds together."""

    _ends: float | None = None
    budget: int | None = None  # bytes that may still be received; None for no limit
    seconds_per_byte: float = 0.0  # by which each received byte extends the deadline

    @classmethod
    def adopt(cls, plain: socket.socket) -> DeadlineSocket:
        """Turn a connected socket into a `DeadlineSocket`; the old object becomes unusable."""
        timeout = plain.gettimeout()
        adopted = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        adopted.settimeout(timeout)
        return adopted

    def inherit(self, plain: DeadlineSocket) -> None:
        """Take over the deadline and the budget of the socket that this one was made from."""
        self._ends, self.budget = plain._ends, plain.budget
        self.seconds_per_byte = plain.seconds_per_byte

    def settimeout(self, value: float | None, /) -> None:
        self._ends = time.monotonic() + value if value else None
        super().settimeout(value)

    def _receive_by(self) -> float | None:
        return self._ends

    @contextmanager
    def _on_time(self, ends: float | None) -> Iterator[None]:
        """Limit the calls in this block to the time that remains until `ends` (monotonic)."""
        if ends is not None:
            if (left := ends - time.monotonic()) <= 0:
                raise self.timeout_error()
            super().settimeout(left)
        try:
            yield
        except TimeoutError:
            raise self.timeout_error() from None

    def timeout_error(self) -> OSError:
        """The error that a missed deadline raises."""
        return TimeoutError("the deadline has passed")

    def _spend(self, received: int) -> None:
        """Subtract received bytes from the budget, and allow the time that they may take.

        A peer can make a library read without end in one call, for example with a chunk of size -1.
        """
        if self._ends is not None:
            self._ends += received * self.seconds_per_byte
        if self.budget is not None:
            self.budget -= received
            if self.budget < 0:
                raise ConnectionAbortedError(
                    errno.ECONNABORTED, "the peer sent more bytes than allowed"
                )

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
    """A `DeadlineSocket` over TLS.

    OpenSSL applies the remaining time to all records that one call reads, and limits the size of
    protocol messages (certificates: 100 KB). The budget counts decrypted bytes.
    """

    def do_handshake(self, block: bool = False) -> None:
        with self._on_time(self._receive_by()):
            ends = self._ends
            try:
                super().do_handshake(block)
            finally:
                self._ends = (
                    ends  # the library set its timeout again; that must not extend the deadline
                )


class ServerSocket(DeadlineSocket):
    """The server's side of a connection, with a time limit for each request and its response.

    The limits start when a thread takes up the request. gunicorn then makes the socket blocking,
    possibly twice; it makes the socket non-blocking again when the response is sent, which ends
    both limits.
    """

    receiving: float = 3.0  # seconds for a TLS handshake and the whole request
    answering: float = 15.0  # seconds until the client has taken the response
    lingering: float = 0.5  # seconds for the client to close its side
    _received_by: float | None = None
    _closed = False

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
        """End both limits: the connection changes to a protocol that limits each call itself."""
        self._ends = self._received_by = None
        self.receiving = self.answering = float("inf")

    def _receive_by(self) -> float | None:
        return self._received_by

    def timeout_error(self) -> OSError:
        # gunicorn treats this error as a client that has disconnected.
        return ConnectionResetError(errno.ECONNRESET, "the client was too slow")

    def linger_close(self) -> None:
        """Half-close the connection and wait up to `lingering` seconds for the client to close.

        This lets the client read the whole response. gunicorn would wait in its main loop, two
        seconds for each client that never closes, and serve no other client during that time. Here
        the thread that served the request waits.
        """
        ends = time.monotonic() + self.lingering
        with suppress(OSError):
            self._send_close()
            socket.socket.shutdown(self, socket.SHUT_WR)
            while (left := ends - time.monotonic()) > 0:
                socket.socket.settimeout(self, left)
                if not socket.socket.recv(self, 16_384):
                    break
        self._closed = True

    def _send_close(self) -> None:
        """Send the closing message of the protocol, without waiting."""

    def shutdown(self, how: int, /) -> None:
        if self._closed:
            raise OSError(errno.ENOTCONN, "the connection is closed already")
        super().shutdown(how)


class TlsServerSocket(ServerSocket, TlsSocket):
    """A `ServerSocket` over TLS. A TLS fault is treated as a client that has disconnected."""

    @contextmanager
    def _on_time(self, ends: float | None) -> Iterator[None]:
        try:
            with super()._on_time(ends):
                yield
        except ssl.SSLError as error:
            said = error.reason or type(error).__name__
            raise ConnectionResetError(errno.ECONNRESET, f"TLS failed: {said}") from None

    def _send_close(self) -> None:
        """Send `close_notify`, which tells the client that the response is complete.

        The call does not block: it does not wait for the client's `close_notify`, and sends nothing
        to a client that has stopped reading.
        """
        socket.socket.settimeout(self, 0.0)
        with suppress(OSError, ValueError):  # no handshake was made, or the connection is closed
            self.unwrap()
