"""Addresses behind proxies, and those of the committee's members."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from committees import make_members
from dragon.node.addresses import (
    MAX_HOPS,
    BelievedProxies,
    MemberAddresses,
    believed_address,
    client_key,
    hosts_of,
)

PROXIES = [ip_network("10.0.0.0/8"), ip_network("2001:db8::1")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "believed"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # not from a believed proxy
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "127.0.0.1, 198.51.100.7", "198.51.100.7"),  # the client's own statement
        ("10.0.0.1", "198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.7, not an address", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, , 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:db8::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("", "198.51.100.7", ""),
    ],
)
def test_the_rightmost_address_that_no_proxy_has_is_believed(
    peer: str, forwarded: str, believed: str
) -> None:
    assert believed_address(peer, forwarded, PROXIES) == believed


@given(st.text(max_size=200))
def test_any_header_is_read(forwarded: str) -> None:
    believed_address("10.0.0.1", forwarded, PROXIES)
    assert believed_address("192.0.2.1", forwarded, PROXIES) == "192.0.2.1"


@given(st.text(max_size=200))
def test_a_client_cannot_choose_its_address(stated: str) -> None:
    assert believed_address("10.0.0.1", f"{stated}, 198.51.100.7", PROXIES) == "198.51.100.7"


def test_a_long_header_is_read_from_the_right() -> None:
    hops = ["198.51.100.7", *["10.0.0.2"] * 100_000]

    assert believed_address("10.0.0.1", ",".join(hops), PROXIES) == "10.0.0.2"
    assert believed_address("10.0.0.1", ",".join(hops[:MAX_HOPS]), PROXIES) == "198.51.100.7"


def test_the_app_sees_the_believed_address() -> None:
    seen: list[str] = []
    app = BelievedProxies(lambda environ, _: seen.append(environ["REMOTE_ADDR"]), PROXIES)
    environ: dict[str, Any] = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "198.51.100.7"}

    app(environ, None)
    app({"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "198.51.100.7"}, None)

    assert seen == ["198.51.100.7", "192.0.2.1"]


def test_an_ipv6_network_of_64_bits_is_one_client() -> None:
    assert client_key("2001:db8:0:1::1") == client_key("2001:db8:0:1:ffff::9%eth0")
    assert client_key("2001:db8:0:1::1") != client_key("2001:db8:0:2::1")
    assert client_key("::ffff:192.0.2.1") == client_key("192.0.2.1") == "192.0.2.1"
    assert client_key("unix:") == client_key("") == ""


def test_the_members_are_the_operators_and_aggregators_but_not_the_targets() -> None:
    committee = make_members(targets=2).committee

    hosts = hosts_of(committee, without="operator_2")

    assert "operator-1" in hosts
    assert "aggregator-0" in hosts
    assert "operator-2" not in hosts
    assert len(hosts) == len(committee.operators) - 1 + len(committee.aggregators)


def test_names_are_looked_up_in_the_background_and_kept_while_a_resolver_fails() -> None:
    known = {"one.example": ["192.0.2.1", "2001:db8::1"], "two.example": ["192.0.2.2"]}

    def resolve(name: str) -> Iterable[str]:
        if name not in known:
            raise OSError
        return known[name]

    members = MemberAddresses(["one.example", "two.example", "10.1.0.0/16", "::1"], resolve)

    assert "192.0.2.1" not in members
    assert "10.1.2.3" in members
    members.refresh()
    assert all(each in members for each in ("192.0.2.1", "2001:db8::1", "192.0.2.2", "::1"))
    assert "::ffff:192.0.2.1" in members
    assert not any(each in members for each in ("2001:db8::2", "192.0.2.3", "", "one.example"))
    known |= {"one.example": ["192.0.2.9"]}
    del known["two.example"]
    members.refresh()
    assert "192.0.2.1" not in members
    assert "192.0.2.9" in members
    assert "192.0.2.2" in members


def test_the_loop_ends_when_the_service_stops() -> None:
    looked_up: list[str] = []

    def resolve(name: str) -> Iterable[str]:
        looked_up.append(name)
        stop.set()
        return []

    stop = threading.Event()
    MemberAddresses(["one.example"], resolve).run(stop)

    assert looked_up == ["one.example"]


def test_a_long_hop_is_not_read() -> None:
    """Parsed texts are remembered, and a header may have 16 KiB."""
    proxies = [ip_network("10.0.0.1")]

    assert believed_address("10.0.0.1", "198.51.100.1:" + "9" * 50, proxies) == "198.51.100.1"
    assert believed_address("10.0.0.1", "198.51.100.1:" + "9" * 100, proxies) == "10.0.0.1"


def test_a_handover_changes_the_members() -> None:
    seated = [make_members(4).committee]
    known = {"operator-1": ["192.0.2.1"], "elsewhere": ["192.0.2.7"]}

    class Stop(threading.Event):
        """Ends the loop after a few checks, and hands over after the first one."""

        waits = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.waits += 1
            if self.waits == 2:
                operators = seated[0].operators
                moved = dataclasses.replace(operators[0], url="http://elsewhere:5000")
                seated[0] = dataclasses.replace(seated[0], operators=(moved, *operators[1:]))
            return self.waits > 3

    members = MemberAddresses(
        ["10.1.0.0/16"], lambda name: known.get(name, []), lambda: hosts_of(seated[0])
    )
    members.refresh()
    assert "192.0.2.1" in members
    members.run(Stop())

    assert "192.0.2.7" in members
    assert "192.0.2.1" not in members
    assert "10.1.2.3" in members
