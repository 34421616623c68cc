"""Sockets with one deadline for a whole exchange instead of one timeout for every read.

With an ordinary timeout, a peer that sends one byte a second can hold its caller for hours. A
`DeadlineSocket` counts the seconds since the last `settimeout`. Over TLS the handshake is part of
the exchange; `dragon.net.tls` makes those sockets.
"""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self


class DeadlineSocket(socket.socket):
    """A socket on which `settimeout(t)` limits all following calls to t seconds together."""

    _ends: float | None = None
    budget: int | None = None  # bytes that may still be received; None for no limit
    seconds_per_byte: float = 0.0  # by which each received byte extends the deadline

    @classmethod
    def adopt(cls, plain: socket.socket) -> Self:
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


class ByteBudget:
    """Bytes that all sockets of a server may hold together."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Reserve bytes. Returns whether there were enough."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give_back(self, size: int) -> None:
        with self._lock:
            self._left += size


class ServerSocket(DeadlineSocket):
    """The server's side of a connection, with a time limit for each request and its response.

    The limits start when a thread takes up the request. gunicorn then makes the socket blocking,
    possibly twice; it makes the socket non-blocking again when the response is sent, which ends
    both limits.

    With a `budget_for_unsent`, a thread does not wait for the client to read a response: what the
    client has not taken is kept, and `flush` sends it later.
    """

    receiving: float = 3.0  # seconds for a TLS handshake and the head, or for the rest of a body
    answering: float = 15.0  # seconds until the client has taken the response
    lingering: float = 0.5  # seconds for the client to close its side
    budget_for_unsent: ByteBudget | None = None
    on_upgrade: Callable[[], None] = staticmethod(lambda: None)
    _received_by: float | None = None
    _unsent: bytes = b""

    def inherit(self, plain: DeadlineSocket) -> None:
        super().inherit(plain)
        if isinstance(plain, ServerSocket):
            self._received_by = plain._received_by
            self.budget_for_unsent = plain.budget_for_unsent

    def setblocking(self, flag: bool, /) -> None:
        if not flag:
            self._ends = self._received_by = None
            super().setblocking(False)
        elif self._received_by is None:
            self.settimeout(self.answering)
            self._received_by = time.monotonic() + self.receiving

    def receive_within(self, seconds: float) -> None:
        """Shorten the time limit of the request."""
        if self._received_by is not None:
            self._received_by = min(self._received_by, time.monotonic() + seconds)

    def upgrade(self) -> None:
        """End both limits: the connection changes to a protocol that limits each call itself."""
        self._ends = self._received_by = self.budget_for_unsent = None
        self.receiving = self.answering = float("inf")
        self.on_upgrade()

    def _receive_by(self) -> float | None:
        return self._received_by

    def timeout_error(self) -> OSError:
        # gunicorn treats this error as a client that has disconnected.
        return ConnectionResetError(errno.ECONNRESET, "the client was too slow")

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send data. With a budget, keep what the client does not take now."""
        rest = memoryview(data).cast("B")
        if self.budget_for_unsent is not None:
            while rest and not self._unsent and (sent := self.send_now(rest)):
                rest = rest[sent:]
            if self.budget_for_unsent.take(len(rest)):
                self._unsent += rest
                return
            super().sendall(self._take_unsent())
        super().sendall(rest, flags)

    def flush(self) -> bool:
        """Send kept bytes without waiting. Returns whether none is left."""
        while self._unsent and (sent := self.send_now(self._unsent)):
            self._unsent = self._unsent[sent:]
            if self.budget_for_unsent is not None:
                self.budget_for_unsent.give_back(sent)
        return not self._unsent

    def send_now(self, data: memoryview | bytes) -> int:
        """Send without waiting. Returns the number of sent bytes."""
        socket.socket.settimeout(self, 0.0)
        with suppress(BlockingIOError):
            return socket.socket.send(self, data)
        return 0

    def _take_unsent(self) -> bytes:
        unsent, self._unsent = self._unsent, b""
        if self.budget_for_unsent is not None:
            self.budget_for_unsent.give_back(len(unsent))
        return unsent

    def half_close(self) -> None:
        """Tell the client that the response is complete, without waiting.

        The server then reads until the client closes its side, for up to `lingering` seconds, so
        that the client can read the whole response.
        """
        with suppress(OSError):
            self._send_close()
            socket.socket.settimeout(self, 0.0)
            socket.socket.shutdown(self, socket.SHUT_WR)

    def discard(self) -> bool:
        """Discard what has arrived after `half_close`. Returns whether the client has closed."""
        with suppress(BlockingIOError):
            while socket.socket.recv(self, 16_384):
                pass
            return True
        return False

    def _send_close(self) -> None:
        """Send the closing message of the protocol, without waiting."""

    def close(self) -> None:
        self._take_unsent()
        super().close()


class TlsServerSocket(ServerSocket, TlsSocket):
    """A `ServerSocket` over TLS. A TLS fault is treated as a client that has disconnected."""

    @contextmanager
    def _on_time(self, ends: float | None) -> Iterator[None]:
        try:
            with super()._on_time(ends):
                yield
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise  # the socket does not block
        except ssl.SSLError:
            raise ConnectionResetError(errno.ECONNRESET, "TLS failed") from None

    def send_now(self, data: memoryview | bytes) -> int:
        socket.socket.settimeout(self, 0.0)
        with self._on_time(None), suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return ssl.SSLSocket.send(self, data)
        return 0

    def _send_close(self) -> None:
        """Send `close_notify`, which tells the client that the response is complete.

        The call does not block: it does not wait for the client's `close_notify`, and sends nothing
        to a client that has stopped reading.
        """
        socket.socket.settimeout(self, 0.0)
        with suppress(OSError, ValueError):  # no handshake was made, or the connection is closed
            self.unwrap()
