"""How targets are reached. Private addresses are refused, unless the committee file allows them.

Targets belong to others: besides the authorities of the fleet, those of the system are trusted.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self, TypeAlias

from dragon.net import tls
from dragon.net.address_rules import is_any, is_public
from dragon.net.connecting import Connector, seconds_left
from dragon.net.deadlines import DeadlineSocket
from dragon.net.http_client import MAX_RESPONSE_BYTES, HttpClient, HttpResponse, unreachable
from dragon.net.session import make_session


class TargetNetwork(Protocol):
    """Carries looks at targets.

    Each call looks the host's name up once, and connects to the addresses of that lookup only.
    `deadline` is in seconds and covers everything. Each call raises Unreachable, as `HttpClient`.
    """

    def exchange(
        self,
        method: str,
        url: str,
        *,
        deadline: float,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        cut: bool = False,
    ) -> HttpResponse:
        """Send one HTTP request. Redirects are not followed.

        `cut`: read only the first 64 KiB of a larger response, which raises BadAnswer otherwise.
        """
        ...

    def connect(self, host: str, port: int, *, deadline: float) -> None:
        """Open a TCP connection, and close it."""
        ...

    def handshake(self, host: str, port: int, *, deadline: float) -> int | None:
        """Complete a TLS handshake, which verifies the certificate and the host name.

        Returns when the certificate expires, in Unix seconds.
        """
        ...


# Returns the network for a target; the argument says whether it may have private addresses.
NetworkFor: TypeAlias = Callable[[bool], TargetNetwork]


class SocketNetwork:
    """The real network."""

    def __init__(self, http: HttpClient, connector: Connector, ca: Path | None = None) -> None:
        """`ca`: file with certificate authorities to trust besides those of the system."""
        self._http = http
        self._connector = connector
        self._ca = ca

    @classmethod
    def create(cls, connector: Connector, ca: Path | None = None) -> Self:
        """Create a network with its own HTTP session. Raises SettingsError: `ca` is unusable."""
        session = make_session(ca, connector=connector, with_system=True)
        return cls(HttpClient(session), connector, ca)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return tls.client_context(self._ca, with_system=True)

    def exchange(
        self,
        method: str,
        url: str,
        *,
        deadline: float,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        cut: bool = False,
    ) -> HttpResponse:
        return self._http.send(
            method,
            url,
            deadline=deadline,
            body=body,
            headers=headers,
            max_bytes=MAX_RESPONSE_BYTES,
            cut=cut,
        )

    def connect(self, host: str, port: int, *, deadline: float) -> None:
        try:
            self._open(host, port, deadline).close()
        except (OSError, ValueError) as error:
            raise unreachable(error) from None

    def handshake(self, host: str, port: int, *, deadline: float) -> int | None:
        try:
            with (
                self._open(host, port, deadline) as plain,
                self._context.wrap_socket(plain, server_hostname=host) as connection,
            ):
                return tls.certificate_expires(connection)
        except (OSError, ValueError) as error:
            raise unreachable(error) from None

    def _open(self, host: str, port: int, deadline: float) -> DeadlineSocket:
        ends = time.monotonic() + deadline
        addresses = self._connector.addresses(host, port, ends)
        connection = DeadlineSocket.adopt(self._connector.connect(addresses, port, ends))
        connection.settimeout(seconds_left(ends))
        connection.budget = MAX_RESPONSE_BYTES
        return connection


def real_networks(ca: Path | None = None) -> NetworkFor:
    """Return the real networks of a service. Raises SettingsError: `ca` cannot be used."""
    public, unrestricted = (
        SocketNetwork.create(Connector(permits=permits), ca) for permits in (is_public, is_any)
    )
    return lambda private_addresses: unrestricted if private_addresses else public
