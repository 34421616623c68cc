"""Name lookups with a deadline.

The system's resolver waits as long as its own settings say, usually over ten seconds. Here a lookup
runs on a thread of its own, and its caller waits no longer than it wants to. Each name is looked up
once at a time, so that a resolver that does not answer holds one thread for each name.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Final, TypeAlias

from dragon.net.causes import find_cause

# Share of a deadline that the lookup may use, so that a lookup without an answer is told from a
# host without an answer.
LOOKUP_SHARE: Final = 0.8
# The resolver has answered: there is no such name, or it has no address.
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})

Resolve: TypeAlias = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """Return the numeric addresses of a host, the preferred one first. Raises socket.gaierror."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_numeric(host: str) -> bool:
    """Whether a host is an IP address, so that no lookup is needed."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def lookup_failure_reason(error: BaseException) -> str | None:
    """Return `no_such_name` or `dns` if a lookup failed, or None if the error has another cause.

    `no_such_name`: the resolver says that the name does not exist, or that it has no address.
    `dns`: the resolver does not answer, or has a temporary fault. This says nothing about the name.
    """
    failed = find_cause(error, socket.gaierror)
    if failed is None:
        return None
    return "no_such_name" if failed.errno in _NO_SUCH_NAME else "dns"


class NameLookups:
    """Looks names up. May be used by many threads."""

    def __init__(self, resolve: Resolve = resolve) -> None:
        self._resolve = resolve
        self._lock = threading.Lock()  # guards the next line
        self._running: dict[tuple[str, int], Future[list[str]]] = {}

    def addresses(self, host: str, port: int, timeout: float | None) -> list[str]:
        """Return the numeric addresses of a host within `timeout` seconds.

        Raises socket.gaierror: `EAI_AGAIN` if there was no answer in time.
        """
        if is_numeric(host):
            return [host.strip("[]")]
        lookup = self._begin(host, port)
        try:
            return lookup.result(timeout)
        except FutureTimeout:
            message = f"the resolver did not answer within {timeout:.1f} s"
            raise socket.gaierror(socket.EAI_AGAIN, message) from None

    def _begin(self, host: str, port: int) -> Future[list[str]]:
        key = (host, port)
        with self._lock:
            if (running := self._running.get(key)) is not None:
                return running
            lookup = self._running[key] = Future()
        name = f"lookup-{host}"
        threading.Thread(target=self._run, args=(key, lookup), name=name, daemon=True).start()
        return lookup

    def _run(self, key: tuple[str, int], lookup: Future[list[str]]) -> None:
        try:
            found = self._resolve(*key)
        except (OSError, ValueError) as error:  # ValueError: not a host name
            self._forget(key)
            lookup.set_exception(error)
        else:
            self._forget(key)
            lookup.set_result(found)

    def _forget(self, key: tuple[str, int]) -> None:
        with self._lock:
            self._running.pop(key, None)
