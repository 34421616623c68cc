"""A host is looked up once, and only what was found is connected to."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from dragon.net.address_rules import is_public
from dragon.net.connecting import AddressRefused, Connector
from dragon.net.name_lookup import NameLookups

PUBLIC, OTHER, PRIVATE = "93.184.216.34", "2606:4700::1111", "10.0.0.1"


class Net:
    """A resolver that gives another answer each time, and a network on which ports are closed."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.opened: list[str] = []
        self.open_ports: set[str] = set()

    def resolve(self, host: str, _port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0)

    def open_socket(self, address: tuple[str, int], _timeout: float | None) -> Any:
        self.opened.append(address[0])
        if address[0] not in self.open_ports:
            raise ConnectionRefusedError
        return address

    def connect(self, host: str = "name.example") -> Any:
        connector = Connector(
            NameLookups(self.resolve), permits=is_public, open_socket=self.open_socket
        )
        ends = time.monotonic() + 20
        return connector.connect(connector.addresses(host, 80, ends), 80, ends)


def test_a_name_is_looked_up_once_and_exactly_its_addresses_are_connected_to() -> None:
    """A name whose second lookup would give a private address: DNS rebinding."""
    net = Net([PUBLIC, OTHER], [PRIVATE])
    net.open_ports = {OTHER, PRIVATE}

    assert net.connect() == (OTHER, 80)
    assert (net.asked, net.opened) == (["name.example"], [PUBLIC, OTHER])


@pytest.mark.parametrize("address", [PRIVATE, "127.0.0.1", "::1", "169.254.169.254", "fe80::1"])
def test_a_private_address_is_not_connected_to(address: str) -> None:
    net = Net([address])

    with pytest.raises(AddressRefused):
        net.connect()

    assert net.opened == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.0.0.1"])
def test_a_private_address_as_a_host_is_not_connected_to(host: str) -> None:
    net = Net()

    with pytest.raises(AddressRefused):
        net.connect(host)


def test_of_mixed_addresses_only_the_public_ones_are_used() -> None:
    net = Net([PRIVATE, PUBLIC])

    with pytest.raises(ConnectionRefusedError):
        net.connect()

    assert net.opened == [PUBLIC]


def test_a_name_without_addresses_is_not_a_refused_address() -> None:
    with pytest.raises(OSError, match="no address"):
        Net([]).connect()


def test_the_error_of_the_last_address_is_raised() -> None:
    connector = Connector(NameLookups(Net([PUBLIC]).resolve), open_socket=_times_out)

    with pytest.raises(TimeoutError):
        connector.connect([PUBLIC, OTHER], 80, None)


def _times_out(_address: tuple[str, int], _timeout: float | None) -> socket.socket:
    raise TimeoutError
