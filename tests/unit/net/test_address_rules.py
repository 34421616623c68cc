"""Which addresses belong to the public internet."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragon.net.address_rules import is_any, is_public


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "93.184.216.34", "223.255.255.255"),
        *("2606:4700::1111", "2001:4860:4860::8888"),
        "64:ff9b::101:101",  # 1.1.1.1 through a NAT64
    ],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "::1"),  # loopback
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12::1"),
        *("169.254.169.254", "fe80::1", "fe80::1%eth0"),  # link-local
        *("168.63.129.16", "64:ff9b::a83f:8110"),  # Azure's, only inside virtual machines
        *("224.0.0.1", "239.255.255.255", "ff02::1"),  # multicast
        *("0.0.0.0", "::", "240.0.0.1", "255.255.255.255", "4000::1"),  # reserved
        *("100.64.0.1", "192.0.0.1", "198.18.0.1", "192.88.99.1"),
        *("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"),  # documentation
        *("::ffff:127.0.0.1", "::ffff:1.1.1.1", "::127.0.0.1"),  # IPv4 in IPv6
        *("2002:7f00:1::1", "2001:0:1::1"),  # 6to4 and Teredo
        *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1"),  # private through a NAT64
        *("localhost", "", "1.1.1", "0x7f000001"),  # no numeric address
    ],
)
def test_all_other_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@given(st.ip_addresses())
def test_no_address_is_public_that_the_standard_library_calls_private(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(str(address)):
        assert address.is_global
        assert not address.is_multicast


def test_any_address_can_be_permitted() -> None:
    assert is_any("127.0.0.1")
