"""An accepted WebSocket disconnects peers that are silent, too slow, or send too much."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection as Frames
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from dragon.node import websocket
from dragon.node.websocket import (
    MAX_QUEUED_MESSAGES,
    PING_AFTER_SECONDS,
    SILENCE_TIMEOUT_SECONDS,
    Closed,
    Connection,
)


@dataclass
class Handler:
    got: list[object] = field(default_factory=list)
    refuses: Closed | None = None

    def on_bytes(self, piece: bytes | bytearray, *, finished: bool) -> None:
        self.got.append((bytes(piece), finished))

    def on_text(self, text: str) -> None:
        self.got.append(text)
        if self.refuses:
            raise self.refuses


class Server:
    """The attributes of flask-sock's server that are used."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.ws, self.connected = sock, Frames(ConnectionType.SERVER), True


class Pair:
    """A connection and its peer, which the test controls."""

    def __init__(self) -> None:
        ours, self.peer = socket.socketpair()
        self.frames, self.now = Frames(ConnectionType.CLIENT), 0.0
        self.connection = Connection(Server(ours), lambda: self.now)  # type: ignore[arg-type]
        self.handler, self.ended = Handler(), list[bool]()
        self.ours = ours

    def serve(self) -> None:
        self.connection.serve(self.handler, end=self.ended.append)

    def send(self, *events: Any) -> None:
        for event in events:
            self.peer.sendall(self.frames.send(event))

    def heard(self) -> list[Any]:
        """Close the connection and return everything that it sent."""
        self.ours.close()
        return self.listen()

    def listen(self) -> list[Any]:
        """Return everything that was sent up to the close."""
        found: list[Any] = []
        self.peer.settimeout(5)
        while not any(isinstance(each, CloseConnection) for each in found):
            if not (data := self.peer.recv(1 << 16)):
                break
            self.frames.receive_data(data)
            found += self.frames.events()
        return found


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    with closing(made.peer), closing(made.ours):
        yield made


def test_binary_messages_arrive_in_pieces_and_text_whole(pair: Pair) -> None:
    pair.send(
        BytesMessage(b"21.", message_finished=False),
        BytesMessage(b"5"),
        TextMessage('{"a":'),
        CloseConnection(1000),
    )
    pair.serve()

    binary = [each for each in pair.handler.got if isinstance(each, tuple)]
    assert b"".join(piece for piece, _ in binary) == b"21.5"
    assert binary[-1][1] is True
    assert pair.handler.got[-1] == '{"a":'
    assert pair.ended == [True]
    assert pair.heard()[-1].code == 1000


@pytest.mark.parametrize(("code", "cleanly"), [(1000, True), (1001, True), (1011, False)])
def test_the_end_says_whether_the_peer_closed_properly(
    pair: Pair, code: int, cleanly: bool
) -> None:
    pair.send(CloseConnection(code))
    pair.serve()

    assert pair.ended == [cleanly]


def test_a_broken_connection_is_not_a_proper_close(pair: Pair) -> None:
    pair.peer.shutdown(socket.SHUT_WR)
    pair.serve()

    assert pair.ended == [False]


def test_a_silent_peer_is_pinged_and_then_disconnected(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting advances the clock."""
    monkeypatch.setattr(websocket.selectors, "PollSelector", lambda: Turning(pair))
    pair.serve()

    said = pair.heard()
    assert [type(each) for each in said] == [Ping, CloseConnection]
    assert (said[-1].code, said[-1].reason) == (
        1013,
        f"nothing was received for {SILENCE_TIMEOUT_SECONDS:.0f} s",
    )
    assert pair.now == pytest.approx(
        SILENCE_TIMEOUT_SECONDS + PING_AFTER_SECONDS / 4, abs=PING_AFTER_SECONDS / 4
    )
    assert pair.ended == [False]


class Turning:
    """A selector that never reports an event and lets time pass instead."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def __enter__(self) -> Turning:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def register(self, *_: object) -> None:
        """Do nothing."""

    def select(self, timeout: float) -> list[Any]:
        self._pair.now += timeout
        return []


def test_too_many_queued_messages_close_the_connection(pair: Pair) -> None:
    for number in range(MAX_QUEUED_MESSAGES + 1):
        pair.connection.send(f"{number}")
    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(pair.serve)
        said = pair.listen()
        serving.result(5)

    assert [each.data for each in said[:-1]] == [
        str(number) for number in range(MAX_QUEUED_MESSAGES)
    ]
    assert (said[-1].code, said[-1].reason) == (1013, "the peer reads too slowly")


def test_the_reason_of_the_handler_is_sent(pair: Pair) -> None:
    pair.handler.refuses = Closed(1009, "é" * 100)
    pair.send(TextMessage("x"))
    pair.serve()

    end = pair.heard()[-1]
    assert (end.code, end.reason) == (1009, "é" * 60)  # cut at the end of a character


def test_the_first_reason_for_closing_is_used(pair: Pair) -> None:
    pair.connection.close(1001, "first")
    pair.connection.close(1008, "second")
    pair.serve()

    assert pair.heard()[-1].reason == "first"


def test_a_text_message_above_the_limit_is_refused(pair: Pair) -> None:
    pair.send(*[TextMessage("x" * 1000, message_finished=False)] * 5)
    pair.serve()

    assert pair.heard()[-1].code == 1009
    assert pair.handler.got == []


def test_invalid_utf_8_ends_the_connection(pair: Pair) -> None:
    pair.peer.sendall(b"\x81\x82\0\0\0\0\xff\xfe")
    pair.serve()

    assert pair.ended == [False]
    assert pair.handler.got == []


def test_a_peer_that_does_not_read_is_disconnected_in_bounded_time(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "SEND_TIMEOUT_SECONDS", 0.05)
    for _ in range(900):
        pair.connection.send("x" * 4000)
    served = threading.Thread(target=pair.serve, daemon=True)
    served.start()
    served.join(10)

    assert not served.is_alive()
    assert pair.ended == [False]
