"""Which connections a server keeps, and which of them get a thread.

A client without any right costs a bounded share: connections are limited in all and for each
address, and so are the threads that serve the requests of one address.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

IPV6_NETWORK_BITS: Final = 64  # one client usually has a whole network of this size
DEFAULT_CONNECTIONS: Final = 1024  # in all
DEFAULT_CONNECTIONS_PER_ADDRESS: Final = 512  # then the one that waits longest is closed

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use of a server.

    `is_limited` says whether the limits for one address apply to an address; they do not apply to
    a trusted proxy, from which all clients come.
    """

    request_threads: int  # that serve requests; WebSockets have other threads
    connections: int = DEFAULT_CONNECTIONS
    connections_per_address: int = DEFAULT_CONNECTIONS_PER_ADDRESS
    is_limited: Callable[[str], bool] = lambda _: True


def client_of(host: str) -> str:
    """Return what counts as one address: an IPv4 address, or the network of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host  # a Unix socket has no address
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_NETWORK_BITS), strict=False))


class NoRoom(Exception):  # not DragonError: it never leaves the server
    """All connections of an address, or all in all, are being served."""


class Connections(Generic[T]):
    """The open connections. Those that only wait can be closed to make room for new ones."""

    def __init__(
        self, most: int, most_per_address: int, is_limited: Callable[[str], bool] = lambda _: True
    ) -> None:
        """
        Args:
            most: connections in all.
            most_per_address: connections of one address.
            is_limited: whether the limit for one address applies to it; not for a trusted proxy.
        """
        self.most, self.most_per_address = most, most_per_address
        self._is_limited = is_limited
        self._addresses: Counter[str] = Counter()
        self._waiting: dict[str, dict[T, None]] = {}  # the one that waits longest comes first

    def __len__(self) -> int:
        return self._addresses.total()

    def displaced_by(self, address: str) -> T | None:
        """Return the connection to close before one of `address` is accepted; None if no one.

        It is the oldest waiting connection of this address if the address is at its limit, and
        otherwise of the address with the most waiting connections.

        Raises NoRoom: nothing waits.
        """
        waiting: dict[T, None] | None
        if self._addresses[address] >= self.most_per_address and self._is_limited(address):
            waiting = self._waiting.get(address)
        elif len(self) >= self.most:
            waiting = max(self._waiting.values(), key=len, default=None)
        else:
            return None
        if not waiting:
            raise NoRoom
        return next(iter(waiting))

    def add(self, address: str, connection: T) -> None:
        """Count a new connection, which waits."""
        self._addresses[address] += 1
        self.wait(address, connection)

    def wait(self, address: str, connection: T) -> None:
        """Note that the connection waits for its client, and may be closed at any time."""
        self._waiting.setdefault(address, {})[connection] = None

    def work(self, address: str, connection: T) -> None:
        """Note that the connection has a request in progress, and must not be closed."""
        waiting = self._waiting.get(address, {})
        waiting.pop(connection, None)
        if not waiting:
            self._waiting.pop(address, None)

    def remove(self, address: str, connection: T) -> None:
        """Forget a connection that was closed."""
        self.work(address, connection)
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]

    def waiting(self) -> list[T]:
        """List all connections that wait for their client."""
        return [one for waiting in self._waiting.values() for one in waiting]


class Share(Generic[T]):
    """Threads for one kind of request, given to the addresses in turn."""

    def __init__(self, threads: int, is_limited: Callable[[str], bool] = lambda _: True) -> None:
        """One address gets at most half of the threads, unless `is_limited` denies it."""
        self.threads = threads
        self.threads_per_address = max(1, threads // 2)
        self._is_limited = is_limited
        self._running: Counter[str] = Counter()
        self._queues: dict[str, deque[T]] = {}  # the address whose turn comes first is first

    def enqueue(self, address: str, request: T) -> None:
        """Let a request wait for a thread."""
        self._queues.setdefault(address, deque()).append(request)

    def start(self) -> T | None:
        """Take the next request that may start; None if no one may."""
        if self._running.total() >= self.threads:
            return None
        for address, queue in self._queues.items():
            if self._may_start(address):
                request = queue.popleft()
                del self._queues[address]
                if queue:
                    self._queues[address] = queue  # behind the others
                self._running[address] += 1
                return request
        return None

    def _may_start(self, address: str) -> bool:
        running = self._running.get(address, 0)
        return running < self.threads_per_address or not self._is_limited(address)

    def finish(self, address: str) -> None:
        """Note that a request of this address needs its thread no longer."""
        self._running[address] -= 1
        if not self._running[address]:
            del self._running[address]

    def withdraw(self, keep: Callable[[T], bool]) -> list[T]:
        """Take the requests out of the queue that `keep` denies."""
        taken: list[T] = []
        for address, queue in list(self._queues.items()):
            taken += [request for request in queue if not keep(request)]
            kept = deque(filter(keep, queue))
            if kept:
                self._queues[address] = kept
            else:
                del self._queues[address]
        return taken
