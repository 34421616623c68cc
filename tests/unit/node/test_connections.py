"""Which connections a server keeps, and which requests get a thread."""

from __future__ import annotations

import pytest

from dragon.node.connections import Connections, NoRoom, Share, client_of


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1%eth0", "2001:db8::/64"),
        ("", ""),
    ],
)
def test_an_address_is_an_ipv4_address_or_an_ipv6_network(host: str, client: str) -> None:
    assert client_of(host) == client


def opened(connections: Connections[str], address: str, *names: str) -> None:
    for name in names:
        connections.add(address, name)


def test_below_the_limits_no_connection_is_closed() -> None:
    connections = Connections[str](3, 2)
    opened(connections, "a", "a1")
    opened(connections, "b", "b1")
    assert connections.displaced_by("a") is None


def test_an_address_at_its_limit_displaces_its_own_oldest_waiting_connection() -> None:
    connections = Connections[str](9, 2)
    opened(connections, "b", "b1")
    opened(connections, "a", "a1", "a2")
    assert connections.displaced_by("a") == "a1"
    connections.work("a", "a1")
    assert connections.displaced_by("a") == "a2"
    connections.work("a", "a2")
    with pytest.raises(NoRoom):
        connections.displaced_by("a")
    connections.wait("a", "a1")
    assert connections.displaced_by("a") == "a1"


def test_a_full_server_displaces_a_connection_of_the_address_with_the_most() -> None:
    connections = Connections[str](4, 3)
    opened(connections, "a", "a1")
    opened(connections, "b", "b1", "b2", "b3")
    assert connections.displaced_by("c") == "b1"
    connections.remove("b", "b1")
    assert connections.displaced_by("c") is None
    assert sorted(connections.waiting()) == ["a1", "b2", "b3"]


def test_a_full_server_in_which_nothing_waits_refuses() -> None:
    connections = Connections[str](1, 1)
    opened(connections, "a", "a1")
    connections.work("a", "a1")
    with pytest.raises(NoRoom):
        connections.displaced_by("b")


def test_a_trusted_proxy_has_no_limit_of_its_own() -> None:
    connections = Connections[str](9, 1, lambda address: address != "proxy")
    opened(connections, "proxy", "p1", "p2")
    assert connections.displaced_by("proxy") is None
    assert len(connections) == 2


def started(share: Share[str]) -> list[str]:
    found = []
    while (name := share.start()) is not None:
        found.append(name)
    return found


def test_one_address_gets_half_of_the_threads() -> None:
    share = Share[str](4)
    for name in ("a1", "a2", "a3"):
        share.enqueue("a", name)
    share.enqueue("b", "b1")
    assert started(share) == ["a1", "b1", "a2"]
    share.finish("a")
    assert started(share) == ["a3"]


def test_addresses_get_threads_in_turn() -> None:
    share = Share[str](1)
    for name in ("a1", "a2", "a3"):
        share.enqueue("a", name)
    share.enqueue("b", "b1")
    order = []
    while found := started(share):
        order += found
        share.finish(found[0][0])
    assert order == ["a1", "b1", "a2", "a3"]


def test_a_trusted_proxy_may_use_all_threads() -> None:
    share = Share[str](4, lambda address: address != "proxy")
    for number in range(5):
        share.enqueue("proxy", f"p{number}")
    assert started(share) == ["p0", "p1", "p2", "p3"]


def test_requests_that_wait_too_long_leave_the_queue() -> None:
    share = Share[str](2)
    for name in ("old", "new"):
        share.enqueue("a", name)
    share.enqueue("b", "old, too")
    assert share.withdraw(lambda name: name == "new") == ["old", "old, too"]
    assert started(share) == ["new"]
