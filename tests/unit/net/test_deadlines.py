"""One deadline for a whole exchange, on real sockets: these tests take real time, but little."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser

from dragon.net.deadlines import DeadlineSocket, ServerSocket

SPAN = 0.3  # seconds
SOON = 1.0  # by then at the latest, however busy the machine is


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of one connection over 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        yield near, far


@contextmanager
def dripping(sender: socket.socket, piece: bytes, pause: float = 0.02) -> Iterator[None]:
    """Somebody who sends a little again and again."""
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
    assert SPAN - 0.15 <= took <= SPAN + SOON


def forever(call: Callable[[], object]) -> None:
    while True:
        call()


@pytest.fixture
def ends() -> Iterator[tuple[DeadlineSocket, socket.socket]]:
    with pair() as (near, far):
        adopted = DeadlineSocket.adopt(near)
        with adopted:
            yield adopted, far


def test_an_adopted_socket_is_the_same_connection() -> None:
    with pair() as (near, far):
        address = near.getpeername()
        near.settimeout(7)
        with DeadlineSocket.adopt(near) as adopted:
            far.sendall(b"hello")

            assert adopted.recv(5) == b"hello"
            assert adopted.getpeername() == address
            assert adopted.gettimeout() == pytest.approx(7, abs=1)
            assert near.fileno() == -1


def test_a_peer_that_never_answers_is_given_up_at_the_deadline(
    ends: tuple[DeadlineSocket, socket.socket],
) -> None:
    near, _ = ends
    near.settimeout(SPAN)

    with ending_on_time(), pytest.raises(TimeoutError):
        near.recv(1)


def test_a_peer_that_drips_is_given_up_at_the_same_deadline(
    ends: tuple[DeadlineSocket, socket.socket],
) -> None:
    near, far = ends
    near.settimeout(SPAN)
    received: list[bytes] = []

    with dripping(far, b"x"), ending_on_time(), pytest.raises(TimeoutError):
        forever(lambda: received.append(near.recv(100)))

    assert len(received) > 1, "each read by itself was on time"


def test_reading_into_a_buffer_and_through_a_file_has_the_deadline_too(
    ends: tuple[DeadlineSocket, socket.socket],
) -> None:
    near, far = ends
    for read in (lambda: near.recv_into(bytearray(9)), near.makefile("rb").readline):
        near.settimeout(SPAN)
        with dripping(far, b"x"), ending_on_time(), pytest.raises(TimeoutError):
            forever(read)


@pytest.mark.parametrize("method", ["send", "sendall"])
def test_a_peer_that_does_not_read_is_given_up_at_the_deadline(
    ends: tuple[DeadlineSocket, socket.socket], method: str
) -> None:
    near, _ = ends
    near.settimeout(SPAN)

    with ending_on_time(), pytest.raises(TimeoutError):
        forever(lambda: getattr(near, method)(bytes(1 << 20)))


def test_after_the_deadline_even_what_has_arrived_is_too_late(
    ends: tuple[DeadlineSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = ends
    near.settimeout(SPAN)
    far.sendall(b"late")
    now = time.monotonic()
    monkeypatch.setattr("dragon.net.deadlines.time.monotonic", lambda: now + SPAN + 1)

    for call in (lambda: near.recv(4), lambda: near.send(b"x"), lambda: near.sendall(b"x")):
        with pytest.raises(TimeoutError):
            call()


def test_a_new_timeout_is_a_new_span(ends: tuple[DeadlineSocket, socket.socket]) -> None:
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
    receiving = SPAN
    answering = SPAN


CUT = ConnectionResetError  # what gunicorn takes for a client that went away


@contextmanager
def served() -> Iterator[tuple[Hurried, socket.socket]]:
    """A server's socket as gunicorn has it, waiting for a request, and its client."""
    with pair() as (near, far):
        near.setblocking(False)
        with Hurried.adopt(near) as adopted:
            yield adopted, far


def test_a_server_gives_a_request_three_seconds_and_its_answer_fifteen() -> None:
    assert (ServerSocket.receiving, ServerSocket.answering) == (3, 15)


@pytest.mark.parametrize("begun", [b"", b"GET /hal", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_client_that_does_not_finish_its_request_is_cut_after_the_span(begun: bytes) -> None:
    with served() as (server, client):
        client.sendall(begun)
        server.setblocking(True)

        with ending_on_time(), pytest.raises(CUT):
            next(RequestParser(Config(), server, ("127.0.0.1", 0)))


def test_a_client_that_drips_its_headers_is_cut_after_the_span() -> None:
    with served() as (server, client):
        client.sendall(b"GET / HTTP/1.1\r\nA: ")
        server.setblocking(True)

        dripped = dripping(client, b"b")
        with dripped, ending_on_time(), pytest.raises(CUT):
            next(RequestParser(Config(), server, ("127.0.0.1", 0)))


def test_a_client_that_drips_its_body_is_cut_after_the_span() -> None:
    with served() as (server, client):
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n")
        server.setblocking(True)
        request = next(RequestParser(Config(), server, ("127.0.0.1", 0)))

        with dripping(client, b"b"), ending_on_time(), pytest.raises(CUT):
            request.body.read()


def test_a_client_that_does_not_take_its_answer_is_cut_after_the_span() -> None:
    with served() as (server, _):
        server.setblocking(True)

        with ending_on_time(), pytest.raises(CUT):
            server.sendall(bytes(1 << 26))


def test_each_request_of_a_connection_has_a_span_of_its_own() -> None:
    with served() as (server, client):
        for _ in range(2):
            server.setblocking(True)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            next(RequestParser(Config(), server, ("127.0.0.1", 0)))
            server.setblocking(False)
            assert server.gettimeout() == 0
            with pytest.raises(BlockingIOError):
                server.recv(1)
            time.sleep(SPAN / 2)


def test_a_thread_that_takes_its_time_to_answer_is_not_held_to_the_span_of_the_request() -> None:
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


def test_a_closed_socket_refuses_a_second_shutdown() -> None:
    with served() as (server, client):
        server.setblocking(True)
        client.close()
        server.linger_close()
        server.close()

        server.setblocking(True)
        with pytest.raises(OSError, match="the connection is closed already"):
            server.shutdown(socket.SHUT_WR)
