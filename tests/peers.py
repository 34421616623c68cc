"""Peers on this machine that answer slowly, wrongly or not at all, over real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Behaviour = Callable[[socket.socket], object]

DRIP_PAUSE_SECONDS = 0.02  # well within any timeout of a single read


@contextmanager
def listening(behave: Behaviour, scheme: str = "http", host: str = "127.0.0.1") -> Iterator[str]:
    """A server whose behaviour on its only connection is `behave`. Yields its URL."""
    listener = socket.create_server((host, 0))

    def run() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                behave(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"{scheme}://{host}:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=5)
        assert not thread.is_alive()


def after_request(behave: Behaviour, heads: list[bytes] | None = None) -> Behaviour:
    """Read the head of a request, add it to `heads`, then behave."""

    def run(connection: socket.socket) -> None:
        head = connection.recv(65_536)
        if heads is not None:
            heads.append(head)
        behave(connection)

    return run


def sends(raw: bytes) -> Behaviour:
    return lambda connection: connection.sendall(raw)


def drips(head: bytes, piece: bytes) -> Behaviour:
    """Send `head`, then `piece` again and again, with short pauses."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            time.sleep(DRIP_PAUSE_SECONDS)

    return drip


def floods(head: bytes, piece: bytes = b"0" * 65_536) -> Behaviour:
    """Send `head`, then `piece` without end."""

    def flood(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return flood


def is_silent(connection: socket.socket) -> None:
    """Send nothing, until the client closes the connection."""
    connection.settimeout(5)
    while connection.recv(65_536):
        pass
