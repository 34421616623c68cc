"""One deadline for a whole exchange. These tests use real sockets and real time."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser

from dragon.net.deadlines import ByteBudget, DeadlineSocket, ServerSocket

LIMIT = 0.3  # seconds
SLACK = 1.0  # seconds of delay on a busy machine


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a connection over 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        yield near, far


@contextmanager
def dripping(sender: socket.socket, piece: bytes, pause: float = 0.02) -> Iterator[None]:
    """Send `piece` again and again in the background."""
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(pause):
            try:
                sender.sendall(piece)
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def ending_on_time() -> Iterator[None]:
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert LIMIT - 0.15 <= took <= LIMIT + SLACK


def forever(call: Callable[[], object]) -> None:
    while True:
        call()


def test_received_bytes_may_extend_the_deadline() -> None:
    with pair() as (near, far), DeadlineSocket.adopt(near) as reader:
        reader.seconds_per_byte = 1.0
        reader.settimeout(LIMIT)
        far.sendall(b"x" * 60)
        assert reader.recv(60) == b"x" * 60
        assert reader._ends is not None
        assert reader._ends - time.monotonic() > 30


def test_a_peer_that_is_slower_than_the_rate_ends_at_the_deadline() -> None:
    with pair() as (near, far), DeadlineSocket.adopt(near) as reader:
        reader.seconds_per_byte = 1e-6
        reader.settimeout(LIMIT)
        with dripping(far, b"x"), ending_on_time(), pytest.raises(TimeoutError):
            forever(lambda: reader.recv(1))


@pytest.fixture
def ends() -> Iterator[tuple[DeadlineSocket, socket.socket]]:
    with pair() as (near, far):
        adopted = DeadlineSocket.adopt(near)
        with adopted:
            yield adopted, far


def test_an_adopted_socket_keeps_the_connection() -> None:
    with pair() as (near, far):
        address = near.getpeername()
        near.settimeout(7)
        with DeadlineSocket.adopt(near) as adopted:
            far.sendall(b"hello")

            assert adopted.recv(5) == b"hello"
            assert adopted.getpeername() == address
            assert adopted.gettimeout() == pytest.approx(7, abs=1)
            assert near.fileno() == -1


def test_a_silent_peer_times_out_at_the_deadline(
    ends: tuple[DeadlineSocket, socket.socket],
) -> None:
    near, _ = ends
    near.settimeout(LIMIT)

    with ending_on_time(), pytest.raises(TimeoutError):
        near.recv(1)


def test_a_dripping_peer_times_out_at_the_same_deadline(
    ends: tuple[DeadlineSocket, socket.socket],
) -> None:
    near, far = ends
    near.settimeout(LIMIT)
    received: list[bytes] = []

    with dripping(far, b"x"), ending_on_time(), pytest.raises(TimeoutError):
        forever(lambda: received.append(near.recv(100)))

    assert len(received) > 1, "each single read was in time"


def test_the_deadline_applies_to_buffers_and_files(
    ends: tuple[DeadlineSocket, socket.socket],
) -> None:
    near, far = ends
    for read in (lambda: near.recv_into(bytearray(9)), near.makefile("rb").readline):
        near.settimeout(LIMIT)
        with dripping(far, b"x"), ending_on_time(), pytest.raises(TimeoutError):
            forever(read)


@pytest.mark.parametrize("method", ["send", "sendall"])
def test_a_peer_that_does_not_read_times_out_at_the_deadline(
    ends: tuple[DeadlineSocket, socket.socket], method: str
) -> None:
    near, _ = ends
    near.settimeout(LIMIT)

    with ending_on_time(), pytest.raises(TimeoutError):
        forever(lambda: getattr(near, method)(bytes(1 << 20)))


def test_data_received_before_the_deadline_is_refused_after_it(
    ends: tuple[DeadlineSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = ends
    near.settimeout(LIMIT)
    far.sendall(b"late")
    now = time.monotonic()
    monkeypatch.setattr("dragon.net.deadlines.time.monotonic", lambda: now + LIMIT + 1)

    for call in (lambda: near.recv(4), lambda: near.send(b"x"), lambda: near.sendall(b"x")):
        with pytest.raises(TimeoutError):
            call()


def test_a_new_timeout_sets_a_new_deadline(ends: tuple[DeadlineSocket, socket.socket]) -> None:
    near, far = ends
    near.settimeout(0.05)
    with pytest.raises(TimeoutError):
        near.recv(1)
    far.sendall(b"x")

    near.settimeout(5)

    assert near.recv(1) == b"x"


def test_without_a_timeout_there_is_no_deadline(
    ends: tuple[DeadlineSocket, socket.socket],
) -> None:
    near, far = ends
    near.settimeout(0.01)
    near.settimeout(None)
    far.sendall(b"x")

    assert near.gettimeout() is None
    assert near.recv(1) == b"x"


def test_a_peer_cannot_send_more_than_the_budget(
    ends: tuple[DeadlineSocket, socket.socket],
) -> None:
    near, far = ends
    near.budget = 100
    far.sendall(bytes(101))

    assert len(near.recv(100, socket.MSG_WAITALL)) == 100
    with pytest.raises(ConnectionAbortedError):
        near.recv_into(bytearray(10))


# The server's side


class Hurried(ServerSocket):
    receiving = LIMIT
    answering = LIMIT


CUT = ConnectionResetError  # gunicorn treats it as a client that has disconnected


@contextmanager
def served() -> Iterator[tuple[Hurried, socket.socket]]:
    """A server's socket that waits for a request, as gunicorn sets it, and its client."""
    with pair() as (near, far):
        near.setblocking(False)
        with Hurried.adopt(near) as adopted:
            yield adopted, far


def test_a_request_has_3_seconds_and_its_response_15() -> None:
    assert (ServerSocket.receiving, ServerSocket.answering) == (3, 15)


@pytest.mark.parametrize("begun", [b"", b"GET /hal", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_an_unfinished_request_is_cut_off_at_the_limit(begun: bytes) -> None:
    with served() as (server, client):
        client.sendall(begun)
        server.setblocking(True)

        with ending_on_time(), pytest.raises(CUT):
            next(RequestParser(Config(), server, ("127.0.0.1", 0)))


def test_dripping_headers_are_cut_off_at_the_limit() -> None:
    with served() as (server, client):
        client.sendall(b"GET / HTTP/1.1\r\nA: ")
        server.setblocking(True)

        dripped = dripping(client, b"b")
        with dripped, ending_on_time(), pytest.raises(CUT):
            next(RequestParser(Config(), server, ("127.0.0.1", 0)))


def test_a_dripping_body_is_cut_off_at_the_limit() -> None:
    with served() as (server, client):
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n")
        server.setblocking(True)
        request = next(RequestParser(Config(), server, ("127.0.0.1", 0)))

        with dripping(client, b"b"), ending_on_time(), pytest.raises(CUT):
            request.body.read()


def test_a_client_that_does_not_read_is_cut_off_at_the_limit() -> None:
    with served() as (server, _):
        server.setblocking(True)

        with ending_on_time(), pytest.raises(CUT):
            server.sendall(bytes(1 << 26))


def test_each_request_of_a_connection_gets_new_limits() -> None:
    with served() as (server, client):
        for _ in range(2):
            server.setblocking(True)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            next(RequestParser(Config(), server, ("127.0.0.1", 0)))
            server.setblocking(False)
            assert server.gettimeout() == 0
            with pytest.raises(BlockingIOError):
                server.recv(1)
            time.sleep(LIMIT / 2)


def test_a_slow_handler_does_not_exceed_the_limit_of_the_request() -> None:
    class Patient(ServerSocket):
        receiving = 0.05
        answering = 5.0

    with pair() as (near, far), Patient.adopt(near) as server:
        server.setblocking(True)
        far.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        next(RequestParser(Config(), server, ("127.0.0.1", 0)))
        time.sleep(0.1)

        server.sendall(b"an answer")

        assert far.recv(9) == b"an answer"


def test_a_response_that_is_not_read_is_kept_and_sent_later() -> None:
    response = os.urandom(4 << 20)
    with served() as (server, client):
        server.budget_for_unsent = ByteBudget(len(response))
        server.setblocking(True)
        server.sendall(response[:100])
        server.sendall(response[100:])
        server.setblocking(False)
        assert not server.flush()

        received = b""
        while len(received) < len(response):
            received += client.recv(1 << 20)
            server.flush()

        assert received == response
        assert server.flush()
        assert server.budget_for_unsent.take(len(response)), "every byte was given back"


def test_a_thread_waits_for_the_client_when_the_budget_is_used_up() -> None:
    with served() as (server, _):
        server.budget_for_unsent = ByteBudget(1 << 16)
        server.setblocking(True)
        with ending_on_time(), pytest.raises(CUT):
            server.sendall(bytes(1 << 26))
        assert server.budget_for_unsent.take(1 << 16)


def test_a_closed_connection_gives_its_budget_back() -> None:
    with served() as (server, _):
        server.budget_for_unsent = budget = ByteBudget(1 << 26)
        server.setblocking(True)
        server.sendall(bytes(1 << 25))
        assert not budget.take(1 << 26)
        server.close()
        assert budget.take(1 << 26)


def test_after_half_closing_the_client_reads_the_response_and_may_still_send() -> None:
    with served() as (server, client):
        server.sendall(b"the end")
        server.half_close()
        client.sendall(b"more")
        assert client.recv(100) + client.recv(100) == b"the end"
        assert not server.discard()
        client.close()
        readable, _, _ = select.select([server], [], [], 5)
        assert readable
        assert server.discard()


def test_a_shorter_limit_applies_to_the_rest_of_a_request() -> None:
    class Patient(ServerSocket):
        receiving = answering = 60.0

    with pair() as (near, _), Patient.adopt(near) as server:
        server.setblocking(True)
        server.receive_within(LIMIT)
        with ending_on_time(), pytest.raises(CUT):
            server.recv(1)


def test_an_upgraded_connection_has_no_limits() -> None:
    upgraded: list[bool] = []
    with served() as (server, client):
        server.budget_for_unsent = ByteBudget(100)
        server.on_upgrade = lambda: upgraded.append(True)
        server.setblocking(True)
        server.upgrade()
        client.sendall(b"x")

        assert server.recv(1) == b"x"
        assert (upgraded, server.budget_for_unsent, server._ends) == ([True], None, None)
