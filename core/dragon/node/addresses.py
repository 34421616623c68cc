"""Addresses of clients: believed proxies, and the committee's members."""

from __future__ import annotations

import functools
import socket
import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from dragon.protocol.committee import Committee, Seated

REFRESH_SECONDS: Final = 60.0  # between two look-ups of the members' names
CHECK_SECONDS: Final = 1.0  # between two checks whether the members have changed
MAX_HOPS: Final = 16  # addresses of `X-Forwarded-For` that are read, from the right
MAX_ADDRESS_CHARACTERS: Final = 64  # of an address of `X-Forwarded-For`, with a port
IPV6_PREFIX_BITS: Final = 64  # one client has at least a network of this size

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolve: TypeAlias = Callable[[str], Iterable[str]]  # the addresses of a name; raises OSError
WsgiApp: TypeAlias = Callable[[dict[str, Any], Any], Any]


@functools.lru_cache(4096)
def parse_address(text: str) -> Address | None:
    """Parse an address, with or without a port; None if it is none.

    An IPv4 address in the form of IPv6 is returned as IPv4.
    """
    host, _, port = text.strip().partition("]:" if text.strip().startswith("[") else ":")
    plain = text.strip() if ":" in port else host
    try:
        address = ip_address(plain.strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def client_key(text: str) -> str:
    """Name the client whose requests are counted together: an IPv4 address, or an IPv6 /64."""
    address = parse_address(text)
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address), IPV6_PREFIX_BITS), strict=False))
    return str(address) if address else ""


def is_within(address: Address | None, networks: Iterable[Network]) -> bool:
    """Whether an address lies in one of these networks; no address lies in any."""
    return address is not None and any(
        address.version == network.version and address in network for network in networks
    )


def believed_address(peer: str, forwarded: str, proxies: Collection[Network]) -> str:
    """The address of a client behind believed proxies.

    Args:
        peer: the address of the connection.
        forwarded: the value of `X-Forwarded-For`; each proxy appends the address of its peer.

    Returns:
        The rightmost address that no believed proxy has. What lies left of it is the client's own
        statement, which can be anything.
    """
    believed, hops = peer, forwarded.rsplit(",", MAX_HOPS)[-MAX_HOPS:]
    while is_within(parse_address(believed), proxies) and hops:
        hop = hops.pop().strip()
        if len(hop) > MAX_ADDRESS_CHARACTERS or (address := parse_address(hop)) is None:
            break
        believed = str(address)
    return believed


class BelievedProxies:
    """WSGI middleware: `REMOTE_ADDR` becomes the address of the client behind believed proxies."""

    def __init__(self, app: WsgiApp, proxies: Collection[Network]) -> None:
        self._app = app
        self._proxies = proxies

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        peer = environ.get("REMOTE_ADDR", "")
        forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
        environ["REMOTE_ADDR"] = believed_address(peer, forwarded, self._proxies)
        return self._app(environ, start_response)


def resolve(name: str) -> Iterable[str]:
    """Look up the addresses of a name. Raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]


def hosts_of(committee: Committee, *, without: str = "") -> list[str]:
    """The hosts of all operators but one, and of the aggregators."""
    urls = [each.url for each in committee.operators if each.id != without]
    urls += [each.url for each in committee.aggregators]
    return [urlsplit(url).hostname or "" for url in urls]


def member_addresses(seated: Seated, known: Iterable[str], *, without: str = "") -> MemberAddresses:
    """The addresses of the committee that holds, whichever that is, and of known clients."""
    return MemberAddresses(known, members=lambda: hosts_of(seated.committee, without=without))


class MemberAddresses:
    """Addresses from which the committee's services send requests.

    Names are looked up in the background, never during a request. An address gives no right; it
    only decides whose processor time a request uses.
    """

    def __init__(
        self,
        hosts: Iterable[str],
        resolve: Resolve = resolve,
        members: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """Create the set.

        Args:
            hosts: names, addresses and networks that never change.
            members: returns further ones, which a handover may change.
        """
        self._hosts = tuple(hosts)
        self._members = members
        self._resolve = resolve
        self._names: set[str] = set()
        self._networks: set[Network] = set()
        self._by_name: dict[str, frozenset[Address]] = {}
        self._addresses: frozenset[Address] = frozenset()
        self._read_hosts()

    def __contains__(self, text: str) -> bool:
        address = parse_address(text)
        return address in self._addresses or is_within(address, self._networks)

    def _read_hosts(self) -> bool:
        """Read the hosts. Return whether there is a new name among them."""
        names: set[str] = set()
        networks: set[Network] = set()
        for host in (*self._hosts, *self._members()):
            try:
                networks.add(ip_network(host))
            except ValueError:
                names.add(host)
        is_new = not names <= self._names
        self._names, self._networks = names, networks
        return is_new

    def refresh(self) -> None:
        """Look up all names. A name that is not found keeps the addresses that it had."""
        self._read_hosts()
        self._by_name = {name: self._by_name.get(name, frozenset()) for name in self._names}
        for name in self._names:
            with suppress(OSError, UnicodeError):
                parsed = map(parse_address, self._resolve(name))
                self._by_name[name] = frozenset(address for address in parsed if address)
        self._addresses = frozenset[Address]().union(*self._by_name.values())

    def run(self, stop: threading.Event) -> None:
        """Refresh until the event is set: now and then, and when a handover adds a host."""
        self.refresh()
        checks = 0
        while not stop.wait(CHECK_SECONDS):
            checks += 1
            if self._read_hosts() or checks * CHECK_SECONDS >= REFRESH_SECONDS:
                self.refresh()
                checks = 0
