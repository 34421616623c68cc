"""HTTP sessions for peers that may be slow, faulty or hostile."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from dragon.net import tls
from dragon.net.connecting import Connector, seconds_left
from dragon.net.deadlines import DeadlineSocket
from dragon.net.kept_connections import KeptConnections, Peer

MAX_BODY_BYTES: Final = 1 << 20  # default limit of a response body
MAX_HEADER_BYTES: Final = 128 * 1024  # everything else in a response


@dataclass(frozen=True, slots=True)
class Limits:
    """What a session allows for one response."""

    max_body_bytes: int = MAX_BODY_BYTES
    min_bytes_per_second: int | None = None  # a body that arrives at this rate has more time

    @property
    def budget(self) -> int:
        """Bytes that may be received for one response."""
        return self.max_body_bytes + MAX_HEADER_BYTES


class _Connection(HTTPConnection):
    def __init__(self, *args: Any, limits: Limits, connector: Connector, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._connector = connector

    def _new_conn(self) -> socket.socket:
        """Look the name up and connect, within one deadline for both."""
        ends = None
        if isinstance(self.timeout, int | float):
            ends = time.monotonic() + self.timeout
        adopted = DeadlineSocket.adopt(self._connect(ends))
        if ends is not None:
            # Connecting has used part of the time; handshake and request get the rest.
            adopted.settimeout(seconds_left(ends))
        adopted.budget = self._limits.budget
        if rate := self._limits.min_bytes_per_second:
            adopted.seconds_per_byte = 1 / rate
        return adopted

    def renew(self, ends: float) -> None:
        """Begin an exchange, which may last until `ends` (monotonic seconds)."""
        adopted = self.sock
        if isinstance(adopted, DeadlineSocket):
            adopted.settimeout(seconds_left(ends))
            adopted.budget = self._limits.budget

    def _connect(self, ends: float | None) -> socket.socket:
        """Connect to the first address that accepts. Raises urllib3's errors, as the library."""
        try:
            return self._connector.connect(
                self._addresses(ends),
                self.port,
                ends,
                source_address=self.source_address,
                socket_options=self.socket_options,
            )
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection to {self.host}") from error

    def _addresses(self, ends: float | None) -> list[str]:
        try:
            return self._connector.addresses(self._dns_host, self.port, ends)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error


class _TlsConnection(_Connection, HTTPSConnection):
    """The TLS context turns the `DeadlineSocket` into a `TlsSocket`."""

    certificate_expires: int | None = None  # Unix seconds, once it is connected

    def connect(self) -> None:
        super().connect()
        if isinstance(self.sock, ssl.SSLSocket):
            self.certificate_expires = tls.certificate_expires(self.sock)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class KeepingAdapter(HTTPAdapter):
    """Carries requests on new connections, and on kept ones those that are sent through `kept`."""

    def __init__(
        self, ca: Path | None, limits: Limits, connector: Connector, *, with_system: bool
    ) -> None:
        self._ca, self._limits, self._connector = ca, limits, connector
        self._with_system = with_system
        if ca is not None:
            _ = self._context  # read now, so that an unusable file is reported before any request
        super().__init__(max_retries=0, pool_connections=256, pool_maxsize=16)
        self.kept = KeptConnections(self._open)

    def _open(self, peer: Peer, ends: float) -> _Connection:
        """Connect to a peer until `ends` (monotonic seconds), the TLS handshake included."""
        kind: Callable[..., _Connection] = _Connection
        if peer.scheme == "https":
            kind = partial(_TlsConnection, ssl_context=self._context)
        timeout, limits = seconds_left(ends), self._limits
        connection = kind(
            peer.host, peer.port, timeout=timeout, limits=limits, connector=self._connector
        )
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close all connections that wait."""
        super().close()
        self.kept.close()

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """Created on first use: reading the system's authorities takes about 20 ms."""
        return tls.client_context(self._ca, with_system=self._with_system)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        manager: PoolManager = self.poolmanager
        # A pool passes arguments that it does not know on to its connections.
        pools = {"http": _Pool, "https": _TlsPool}
        manager.pool_classes_by_scheme = {
            scheme: cast(
                "type[HTTPConnectionPool]",
                partial(pool, limits=self._limits, connector=self._connector),
            )
            for scheme, pool in pools.items()
        }

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """Always use this adapter's context, so that `verify=False` has no effect."""
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        return host, {"ssl_context": self._context} if host["scheme"] == "https" else {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Do nothing: the context verifies. The library would add authorities to the context."""


class _Session(requests.Session):
    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Prepare a request with this session's headers.

        The library also merges cookies, passwords and parameters of the session, of which this one
        has none; that takes as long as everything else here.
        """
        headers = CaseInsensitiveDict(self.headers)
        headers.update(request.headers)
        prepared = requests.PreparedRequest()
        prepared.prepare_method(request.method)
        prepared.prepare_url(request.url, urlencode(request.params, doseq=True))
        prepared.prepare_headers(headers)
        prepared.prepare_body(request.data, request.files, request.json)
        prepared.prepare_auth(request.auth, request.url)
        return prepared

    def merge_environment_settings(  # type: ignore[override]
        self, url: object, proxies: object, stream: bool | None, verify: object, cert: object
    ) -> dict[str, Any]:
        """Return what `send` needs: of all settings, this session has only `stream`."""
        return {"stream": bool(stream)}

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request, and return the response even if it is a redirect.

        The library also looks for cookies, hooks and redirects, which this session does not use;
        that takes a quarter of the processor time of a request.
        """
        stream, timeout = kwargs.get("stream", False), kwargs.get("timeout")
        adapter = self.get_adapter(request.url or "")
        response = adapter.send(request, stream=stream, timeout=timeout)
        if not stream:
            _ = response.content  # reads it
        return response


def make_session(
    ca: Path | None = None,
    limits: Limits = Limits(),
    connector: Connector | None = None,
    *,
    with_system: bool = False,
) -> requests.Session:
    """Make a session without implicit behaviour.

    It uses no proxies or passwords of the environment, no cookies, no retries, and no persistent
    connections: a connection that the peer has just closed would look like a failure. Only
    `HttpClient` keeps connections, for requests that say so: see `kept_connections`.

    Args:
        ca: file with the certificate authorities to trust for HTTPS; None for the system's.
        limits: what to allow for one response.
        connector: looks hosts up and connects; by default to any address.
        with_system: trust the system's authorities besides those of `ca`.

    Raises:
        SettingsError: `ca` cannot be used.
    """
    session = _Session()
    session.trust_env = False
    session.headers.update({"Connection": "close", "Accept-Encoding": "identity"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = KeepingAdapter(ca, limits, connector or Connector(), with_system=with_system)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session
