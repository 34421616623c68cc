"""Sockets that end on time: one deadline for a whole exchange, not one for every read.

The usual timeout bounds each read on its own, so a peer that sends a byte a second holds its caller
for hours. A `DeadlineSocket` counts the seconds from the last `settimeout` on.
"""

from __future__ import annotations

import errno
import socket
import time
from contextlib import suppress
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

    def settimeout(self, value: float | None, /) -> None:
        self._ends = time.monotonic() + value if value else None
        super().settimeout(value)

    def _hurry(self) -> None:
        if self._ends is None:
            return
        if (left := self._ends - time.monotonic()) <= 0:
            raise self.late()
        super().settimeout(left)

    def late(self) -> OSError:
        return TimeoutError("the deadline has passed")

    def _spend(self, received: int) -> None:
        """A peer may make the library read without end in one call (a chunk of size -1, say)."""
        if self.budget is not None:
            self.budget -= received
            if self.budget < 0:
                raise ConnectionAbortedError(errno.ECONNABORTED, "more bytes than any answer has")

    def recv(self, *args: Any) -> bytes:
        self._hurry()
        received = super().recv(*args)
        self._spend(len(received))
        return received

    def recv_into(self, *args: Any) -> int:
        self._hurry()
        received = super().recv_into(*args)
        self._spend(received)
        return received

    def send(self, *args: Any) -> int:
        self._hurry()
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        self._hurry()
        super().sendall(*args)


class ServerSocket(DeadlineSocket):
    """The server's side: a request has to arrive whole within `receiving` seconds of the moment a
    thread takes it up, and the answer to be taken within `answering`.

    gunicorn makes a socket blocking when a request begins; here that starts both spans.
    """

    receiving: float = 3.0
    answering: float = 15.0
    lingering: float = 0.5
    _received_by: float | None = None
    _gone = False

    def setblocking(self, flag: bool, /) -> None:
        if flag:
            self.settimeout(self.answering)
            self._received_by = time.monotonic() + self.receiving
        else:
            self._ends = self._received_by = None
            super().setblocking(False)

    def _hurry_in(self) -> None:
        if self._received_by is None:
            return
        if (left := self._received_by - time.monotonic()) <= 0:
            raise self.late()
        socket.socket.settimeout(self, left)

    def recv(self, *args: Any) -> bytes:
        try:
            self._hurry_in()
            return socket.socket.recv(self, *args)
        except TimeoutError:
            raise self.late() from None

    def recv_into(self, *args: Any) -> int:
        try:
            self._hurry_in()
            return socket.socket.recv_into(self, *args)
        except TimeoutError:
            raise self.late() from None

    def send(self, *args: Any) -> int:
        try:
            return super().send(*args)
        except TimeoutError:
            raise self.late() from None

    def sendall(self, *args: Any) -> None:
        try:
            super().sendall(*args)
        except TimeoutError:
            raise self.late() from None

    def late(self) -> OSError:
        # What gunicorn takes for a client that went away, which is what we make of it.
        return ConnectionResetError(errno.ECONNRESET, "the client was too slow")

    def say_goodbye(self) -> None:
        """Half-close, and give the client a moment to close too, so that it reads our answer whole.

        gunicorn would do this in its main loop, two seconds for each client that never closes, and
        serve nobody meanwhile. Here it is done on the thread that served the request.
        """
        ends = time.monotonic() + self.lingering
        with suppress(OSError):
            super().shutdown(socket.SHUT_WR)
            while (left := ends - time.monotonic()) > 0:
                socket.socket.settimeout(self, left)
                if not socket.socket.recv(self, 16_384):
                    break
        self._gone = True

    def shutdown(self, how: int, /) -> None:
        if self._gone:
            raise OSError(errno.ENOTCONN, "said goodbye already")
        super().shutdown(how)
