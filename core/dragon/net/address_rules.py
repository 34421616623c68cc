"""Which IP addresses belong to the public internet.

A committee file names hosts that every operator connects to. Without this rule it could make
operators connect to their own networks, by way of a name that resolves to a private address.
"""

from __future__ import annotations

import ipaddress
from typing import Final, TypeAlias

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# IANA's special-purpose registries, with multicast. Written out, because the library's own list
# depends on the version of Python, and operators have to judge alike.
_REFUSED_IPV4: Final = tuple(
    ipaddress.IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by the customers of a provider
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # not registered: Azure answers virtual machines there
        "169.254.0.0/16",  # link-local, with the metadata services of other clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Outside it are loopback, link-local, unique local, multicast and IPv4-mapped addresses.
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_REFUSED_IPV6: Final = tuple(
    ipaddress.IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments, among them Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which contains IPv4 addresses
        "3fff::/20",  # documentation
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # with an IPv4 address in the last 32 bits


def is_public(address: str) -> bool:
    """Whether a numeric address belongs to the public internet. False for anything else."""
    try:
        found: _Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found not in _NAT64:
            is_refused = any(found in network for network in _REFUSED_IPV6)
            return found in _GLOBAL_UNICAST and not is_refused
        found = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
    return not any(found in network for network in _REFUSED_IPV4)


def is_any(_address: str) -> bool:
    """Permit every address."""
    return True
