"""Connections that end on time: one deadline for a whole exchange, not one for every read.

`requests` bounds each read on its own, so a peer that sends a byte a second holds its caller for
hours. A `DeadlineSocket` counts the seconds from the last `settimeout` on.
"""

from __future__ import annotations

import errno
import socket
import time
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, PoolManager
from urllib3.connection import HTTPConnection


class DeadlineSocket(socket.socket):
    """A socket on which `settimeout(t)` gives everything that follows t seconds in all."""

    _ends: float | None = None

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

    def recv(self, *args: Any) -> bytes:
        self._hurry()
        return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        self._hurry()
        return super().recv_into(*args)

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


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return DeadlineSocket.adopt(super()._new_conn())


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "http": _Pool}


def make_session() -> requests.Session:
    """A session with no hidden ways: no proxies or passwords from the environment, no cookies, no
    retries, no kept connections (one that the peer has just closed would look like a failure)."""
    session = requests.Session()
    session.trust_env = False
    session.headers.update({"Connection": "close", "Accept-Encoding": "identity"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(max_retries=0, pool_connections=256, pool_maxsize=16))
    return session
