"""A session for talking to peers that may be slow, wrong or hostile."""

from __future__ import annotations

import socket
import ssl
import time
from functools import cached_property
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from dragon.net import tls
from dragon.net.deadlines import DeadlineSocket

LARGEST: Final = 1 << 20  # bytes of the largest body that anybody asks for through a session
HEADERS: Final = 128 * 1024  # what may come beside it


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        begun = time.monotonic()
        adopted = DeadlineSocket.adopt(super()._new_conn())
        if isinstance(self.timeout, int | float):
            # What connecting took is gone; a handshake and the request get what is left.
            adopted.settimeout(max(0.001, begun + self.timeout - time.monotonic()))
        adopted.budget = LARGEST + HEADERS
        return adopted


class _TlsConnection(_Connection, HTTPSConnection):
    """The context makes a `TlsSocket` of the `DeadlineSocket`."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def __init__(self, ca: Path | None) -> None:
        self._ca = ca
        if ca is not None:
            _ = self._context  # now, so that a wrong file is found before anything is asked
        super().__init__(max_retries=0, pool_connections=256, pool_maxsize=16)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """Made when it is needed: reading the system's authorities takes some 20 ms."""
        return tls.client_context(self._ca)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """Our context and nothing else: `verify=False` switches nothing off."""
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        return host, {"ssl_context": self._context} if host["scheme"] == "https" else {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context verifies. Here the library would add authorities of its own to it."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: else the whole body of a redirect would be read, which nobody follows."""
        return None


def make_session(ca: Path | None = None) -> requests.Session:
    """A session with no hidden ways: no proxies or passwords from the environment, no cookies, no
    retries, no kept connections (one that the peer has just closed would look like a failure).

    Over https it believes the authorities in `ca`, or the system's. Raises SettingsError: `ca`
    cannot be used.
    """
    session = _Session()
    session.trust_env = False
    session.headers.update({"Connection": "close", "Accept-Encoding": "identity"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _Adapter(ca)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session
