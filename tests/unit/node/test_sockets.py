"""Who may open a WebSocket, and how many."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from flask import Flask
from werkzeug.exceptions import BadRequest

from dragon import errors
from dragon.node.sockets import MAX_LISTENERS_PER_ADDRESS, Sockets

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Service:
    """Sockets of an app, opened by requests."""

    def __init__(self, capacity: int = 100, *origins: str) -> None:
        self.sockets = Sockets(capacity, lambda: 0.0, origins)
        self._app = Flask("sockets")

    def open(
        self,
        stack: ExitStack,
        *,
        owner: bool = False,
        address: str = "192.0.2.1",
        protocol: str = "HTTP/1.1",
        **headers: str,
    ) -> None:
        """Take a place until the stack is closed."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        environ = {"REMOTE_ADDR": address, "SERVER_PROTOCOL": protocol}
        with self._app.test_request_context(
            base_url="http://streams:5300",
            headers={**HANDSHAKE, **named},
            environ_overrides=environ,
        ):
            stack.enter_context(self.sockets.reserve(owner=owner))

    def try_to_open(self, **options: str) -> None:
        with ExitStack() as stack:
            self.open(stack, **options)  # type: ignore[arg-type]


def test_listeners_never_keep_an_owner_out() -> None:
    service = Service(100)
    with ExitStack() as stack:
        for number in range(50):
            service.open(stack, address=f"192.0.2.{number}")
        with pytest.raises(errors.TooManySockets, match="all 50 sockets for listeners"):
            service.open(stack, address="198.51.100.1")
        for _ in range(50):
            service.open(stack, owner=True)
        assert service.sockets.owners == 50
        with pytest.raises(errors.TooManySockets, match="all 50 sockets for owners"):
            service.open(stack, owner=True)
    service.try_to_open()


@pytest.mark.parametrize(("capacity", "most"), [(100, MAX_LISTENERS_PER_ADDRESS), (8, 2), (2, 1)])
def test_one_address_gets_at_most_half_of_the_places_of_listeners(capacity: int, most: int) -> None:
    service = Service(capacity)
    with ExitStack() as stack:
        for _ in range(most):
            service.open(stack)
        with pytest.raises(errors.TooManySockets):
            service.open(stack)
        service.open(stack, owner=True)


@pytest.mark.parametrize(
    "origin", ["http://streams:5300", "https://STREAMS:5300", "https://app.example"]
)
def test_pages_of_the_same_host_and_listed_origins_may_open_sockets(origin: str) -> None:
    Service(9, "https://app.example").try_to_open(Origin=origin)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("a.example:443", "https://a.example"),
        ("a.example:80", "http://a.example"),
        ("a.example", "https://A.example:443"),
        ("[::1]:5300", "http://[::1]:5300"),
    ],
)
def test_the_default_port_of_an_origin_may_be_stated(host: str, origin: str) -> None:
    """Some proxies add it to the header `Host`; browsers never do."""
    Service(9).try_to_open(Origin=origin, Host=host)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("a.example", "http://a.example:443"),
        ("a.example", "https://a.example."),
        ("a.example", "https://a.example@evil.example"),
        ("a.example", "//a.example"),
        ("a.example", "https://a.example/page"),
        ("", "null"),
        ("", "http://"),
    ],
)
def test_similar_origins_are_different_ones(host: str, origin: str) -> None:
    with pytest.raises(errors.ForeignOrigin):
        Service(9).try_to_open(Origin=origin, Host=host)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://streams", "null", "", "http://app.example", "http://[::1"],
)
def test_pages_of_other_sites_may_not_open_sockets(origin: str) -> None:
    with pytest.raises(errors.ForeignOrigin):
        Service(9, "https://app.example").try_to_open(Origin=origin)


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": "HTTP/1.0"},
        {"Sec_WebSocket_Version": "8"},
        {"Sec_WebSocket_Key": ""},
        {"Sec_WebSocket_Key": "AAAA"},
        {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ"},
        {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25j*Q=="},
    ],
)
def test_a_handshake_that_is_not_proper_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        Service().try_to_open(**change)
