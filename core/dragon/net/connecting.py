"""Connecting to a host: one lookup of its name, then exactly the addresses that it returned."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from urllib3.util.connection import create_connection

from dragon.net.address_rules import is_any
from dragon.net.name_lookup import LOOKUP_SHARE, NameLookups


class AddressRefused(OSError):
    """The host has addresses, and none of them may be connected to."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "the host has private addresses only")


# Connects to a numeric address, with a timeout in seconds (None: without a limit) and options.
OpenSocket: TypeAlias = Callable[..., socket.socket]
MIN_SECONDS: Final = 0.001  # without any time, a socket would wait forever


class Connector:
    """Looks hosts up and connects to them. May be used by many threads."""

    def __init__(
        self,
        lookups: NameLookups | None = None,
        *,
        permits: Callable[[str], bool] = is_any,
        open_socket: OpenSocket = create_connection,
    ) -> None:
        """Create a connector.

        Args:
            lookups: of host names; by default those of the system.
            permits: whether an address may be connected to.
            open_socket: called with a numeric address, so that no second lookup takes place.
        """
        self._lookups = lookups or NameLookups()
        self._permits = permits
        self._open_socket = open_socket

    def connect(
        self, addresses: Sequence[str], port: int, ends: float | None, **options: Any
    ) -> socket.socket:
        """Connect to the first address that accepts, until `ends` (monotonic seconds).

        Raises OSError.
        """
        error: OSError = OSError("the name has no address")
        for address in addresses:
            try:
                timeout = None if ends is None else seconds_left(ends)
                return self._open_socket((address, port), timeout, **options)
            except OSError as failed:
                error = failed
        raise error

    def addresses(self, host: str, port: int, ends: float | None) -> list[str]:
        """Look a host up, and return those of its addresses that may be connected to.

        Raises:
            socket.gaierror: as `NameLookups.addresses`.
            AddressRefused: the host has addresses, and none of them is permitted.
        """
        timeout = None if ends is None else LOOKUP_SHARE * seconds_left(ends)
        found = self._lookups.addresses(host, port, timeout)
        permitted = [each for each in found if self._permits(each)]
        if found and not permitted:
            raise AddressRefused
        return permitted


def seconds_left(ends: float) -> float:
    """Seconds until `ends` (monotonic), more than none."""
    return max(MIN_SECONDS, ends - time.monotonic())
