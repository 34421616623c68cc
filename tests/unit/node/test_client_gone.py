"""A service sees that the client of a request has closed its connection."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from dragon.node import client_gone


def asked(sock: socket.socket) -> dict[str, Any]:
    """The environment that an app receives."""
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], _start: object) -> list[bytes]:
        seen.append(environ)
        return []

    client_gone.from_socket(app)({"gunicorn.socket": sock}, None)  # type: ignore[arg-type]
    return seen[0]


@pytest.mark.parametrize("unread", [b"", b"more"])
def test_a_closed_connection_is_noticed_behind_unread_bytes(unread: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        is_gone = client_gone.of_request(asked(ours))
        theirs.sendall(unread)
        assert not is_gone()
        theirs.close()
        assert is_gone()
    assert is_gone()


def test_without_support_of_the_server_no_client_is_gone() -> None:
    assert not client_gone.of_request({})()
