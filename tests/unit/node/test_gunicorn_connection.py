"""A connection of the server makes steps and never waits."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from gunicorn.config import Config

from dragon.net.deadlines import ByteBudget, ServerSocket
from dragon.node.gunicorn_connection import KEEP_ALIVE_SECONDS, GunicornConnection, Step

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Pair:
    client: socket.socket
    server: GunicornConnection
    now: float = 100.0

    def serve(self, response: bytes = b"") -> str:
        """Serve a request as a thread does. Returns its path."""
        self.server.hand_over()
        self.server.sock.setblocking(True)
        request = next(self.server.parser)
        self.server.sock.sendall(response)
        return str(request.path)


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, client = socket.socketpair()
    sock = ServerSocket.adopt(ours)
    sock.budget_for_unsent = ByteBudget(1 << 24)
    made = Pair(client, None)  # type: ignore[arg-type]
    made.server = GunicornConnection(
        Config(), sock, ("127.0.0.1", 1), ("127.0.0.1", 2), context=None, monotonic=lambda: made.now
    )
    client.settimeout(5)
    with client:
        yield made
    made.server.close()


def test_a_connection_waits_until_its_request_has_arrived(pair: Pair) -> None:
    assert pair.server.advance() is Step.WAIT
    assert pair.server.deadline == pair.now + ServerSocket.receiving
    for piece in (GET[:5], GET[5:-1]):
        pair.client.sendall(piece)
        assert pair.server.advance() is Step.WAIT
    pair.client.sendall(GET[-1:])
    assert pair.server.advance() is Step.SERVE
    assert pair.server.deadline == pair.now + ServerSocket.receiving
    assert pair.serve() == "/"


def test_a_client_that_closes_before_its_request_ends_the_connection(pair: Pair) -> None:
    pair.client.sendall(GET[:5])
    pair.client.shutdown(socket.SHUT_WR)
    assert pair.server.advance() is Step.CLOSE


def test_each_request_of_a_connection_has_its_own_deadline(pair: Pair) -> None:
    pair.client.sendall(GET)
    assert pair.server.advance() is Step.SERVE
    pair.serve()
    pair.now += 50
    assert pair.server.take_back(keep=True) is Step.WAIT
    assert pair.server.deadline == pair.now + KEEP_ALIVE_SECONDS
    pair.now += 1
    pair.client.sendall(GET[:5])
    assert pair.server.advance() is Step.WAIT
    assert pair.server.deadline == pair.now + ServerSocket.receiving


def test_a_request_behind_another_is_served_at_once(pair: Pair) -> None:
    pair.client.sendall(GET + GET.replace(b"/ ", b"/second "))
    assert pair.server.advance() is Step.SERVE
    assert pair.serve() == "/"
    assert pair.server.take_back(keep=True) is Step.SERVE
    assert pair.serve() == "/second"


def test_the_rest_of_a_response_is_sent_when_the_client_reads(pair: Pair) -> None:
    pair.client.sendall(GET)
    pair.server.advance()
    pair.serve(bytes(1 << 20))
    assert pair.server.take_back(keep=False) is Step.WAIT
    assert pair.server.wanted == selectors.EVENT_WRITE
    assert pair.server.deadline == pair.now + ServerSocket.answering

    received = 0
    while received < 1 << 20:
        received += len(pair.client.recv(1 << 16))
        assert pair.server.advance() is Step.WAIT
    assert pair.server.wanted == selectors.EVENT_READ
    assert pair.client.recv(1) == b"", "half-closed"
    assert pair.server.deadline == pair.now + ServerSocket.lingering
    pair.client.close()
    assert pair.server.advance() is Step.CLOSE


def test_a_head_that_is_too_large_is_refused(pair: Pair) -> None:
    pair.client.sendall(b"GET / HTTP/1.1\r\nA: " + b"b" * 20_000)
    assert pair.server.advance() is Step.WAIT
    answer = pair.client.recv(4096)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer


def test_a_refused_request_is_answered_with_a_problem_document(pair: Pair) -> None:
    pair.client.sendall(GET)
    pair.server.advance()
    assert pair.server.refuse(503, "Service Unavailable", "too much to do") is Step.WAIT
    answer = pair.client.recv(4096)
    assert b"Retry-After: 1\r\n" in answer
    assert answer.endswith(
        b'{"type":"about:blank","title":"Service Unavailable","status":503,'
        b'"detail":"too much to do"}'
    )
