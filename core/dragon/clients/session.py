"""A session for talking to peers that may be slow, wrong or hostile."""

from __future__ import annotations

import socket
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, PoolManager
from urllib3.connection import HTTPConnection

from dragon.sockets import DeadlineSocket

LARGEST: Final = 1 << 20  # bytes of the largest body that anybody asks for through a session
HEADERS: Final = 128 * 1024  # what may come beside it


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        adopted = DeadlineSocket.adopt(super()._new_conn())
        adopted.budget = LARGEST + HEADERS
        return adopted


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "http": _Pool}


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: else the whole body of a redirect would be read, which nobody follows."""
        return None


def make_session() -> requests.Session:
    """A session with no hidden ways: no proxies or passwords from the environment, no cookies, no
    retries, no kept connections (one that the peer has just closed would look like a failure)."""
    session = _Session()
    session.trust_env = False
    session.headers.update({"Connection": "close", "Accept-Encoding": "identity"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(max_retries=0, pool_connections=256, pool_maxsize=16))
    return session
