"""Sockets that end on time: one deadline for a whole exchange, not one for every read.

The usual timeout bounds each read on its own, so a peer that sends a byte a second holds its caller
for hours. A `DeadlineSocket` counts the seconds from the last `settimeout` on.
"""

from __future__ import annotations

import errno
import socket
import time
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
    """The server's side: every request, body and answer included, gets `seconds` in all.

    gunicorn makes a socket blocking when a request begins; here that starts the span.
    """

    seconds: float = 15.0

    def setblocking(self, flag: bool, /) -> None:
        if flag:
            self.settimeout(self.seconds)
        else:
            self._ends = None
            super().setblocking(False)

    def late(self) -> OSError:
        # What gunicorn takes for a client that went away, which is what we make of it.
        return ConnectionResetError(errno.ECONNRESET, "the client was too slow")
