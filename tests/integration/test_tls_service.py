"""A service over TLS as gunicorn runs it, and what its clients may try.

A whole fleet over TLS is that of `test_processes`.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from authorities import Papers
from dragon.errors import PeerError
from dragon.net import tls
from dragon.net.http_client import HttpClient
from dragon.net.session import make_session
from dragon.net.tls import Tls
from ports import free_block

pytestmark = pytest.mark.processes

SPAN = 0.6  # seconds for a request to arrive, and as many again for its answer
THREADS = 2
PATIENCE = 40.0  # seconds: two cores may be busy with other tests

SERVICE = """
import sys
from pathlib import Path

from flask import Flask, request

from dragon.net.deadlines import ServerSocket
from dragon.net.tls import Tls
from dragon.node.server import Service, serve

app = Flask("tls")


@app.get("/")
def scheme():
    return request.environ["wsgi.url_scheme"]


@app.post("/length")
def length():
    return str(len(request.get_data()))


@app.get("/large")
def large():
    return bytes(1 << 26)


ServerSocket.receiving = ServerSocket.answering = {span}
serve(
    lambda: Service(app),
    name="tls",
    host="127.0.0.1",
    port={port},
    threads={threads},
    tls=Tls(Path("{certfile}"), Path("{keyfile}")),
)
"""


@dataclass(frozen=True, slots=True)
class Running:
    port: int
    shown: Tls
    output: Path
    process: subprocess.Popen[bytes]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def shake(self) -> ssl.SSLSocket:
        context = tls.client_context(self.shown.ca)
        return context.wrap_socket(self.connect(), server_hostname="localhost")

    def answers(self) -> bool:
        http = HttpClient(make_session(self.shown.ca))
        with suppress(PeerError):
            return http.get(f"https://127.0.0.1:{self.port}/", deadline=5).body == b"https"
        return False


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("service")
    shown, port = Papers.make(folder).service("service"), free_block(1)
    code = SERVICE.format(
        span=SPAN, port=port, threads=THREADS, certfile=shown.certfile, keyfile=shown.keyfile
    )
    output = folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=file, stderr=file, start_new_session=True
        )
    running = Running(port, shown, output, process)
    ends = time.monotonic() + PATIENCE
    while not running.answers():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < ends
        time.sleep(0.05)
    yield running
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def unmoved(service: Running) -> Iterator[None]:
    """In the end it answers, soon, and has not said a word about it."""
    before = service.output.read_text()
    yield
    begun = time.monotonic()
    assert service.answers()
    assert time.monotonic() - begun < 2 * SPAN + 2
    assert service.output.read_text() == before


def read_to(client: socket.socket, end: bytes) -> bytes:
    answer = b""
    while not answer.endswith(end):
        piece = client.recv(1)
        assert piece, answer
        answer += piece
    return answer


def test_a_request_over_tls_is_answered_and_closed_in_form(service: Running) -> None:
    with unmoved(service), service.shake() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65_536), b""))

        assert client.version() == "TLSv1.3"
        assert answer.endswith(b"\r\n\r\nhttps")
        assert client.unwrap().recv(1) == b"", "its own close_notify has come, and the end"


def test_the_version_before_is_taken(service: Running) -> None:
    context = tls.client_context(service.shown.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with context.wrap_socket(service.connect(), server_hostname="localhost") as client:
        assert client.version() == "TLSv1.2"


def test_what_openssl_has_read_already_is_answered_at_once(service: Running) -> None:
    """A second request in the first one's record, behind the piece that gunicorn reads."""
    first, second = b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nHost: b\r\n\r\n"
    filling = 8192 - len(first) - len(b"A: \r\nB: \r\n\r\n")
    fields = (b"a" * (filling // 2), b"b" * (filling - filling // 2))
    whole = first + b"A: %b\r\nB: %b\r\n\r\n" % fields
    assert len(whole) == 8192

    with service.shake() as client:
        begun = time.monotonic()
        client.sendall(whole + second)
        for _ in range(2):
            read_to(client, b"https")

    assert time.monotonic() - begun < 1


def test_a_kept_connection_answers_again(service: Running) -> None:
    with service.shake() as client:
        for _ in range(3):
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_to(client, b"https").startswith(b"HTTP/1.1 200 OK")
            time.sleep(SPAN / 2)


def test_a_large_body_comes_through(service: Running) -> None:
    with service.shake() as client:
        client.sendall(b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n")
        client.sendall(bytes(3_000_000))
        assert read_to(client, b"\r\n\r\n3000000").startswith(b"HTTP/1.1 200 OK")


NO_TLS = {
    "plain HTTP": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "garbage": bytes(range(256)) * 40,
    "zeros": bytes(1000),
    "half a record": b"\x16\x03\x01\x02\x00\x01\x00",
    "a hello that is none": b"\x16\x03\x01\x00\x04\x01\x00\x00\xff",
    "nothing": b"",
}


@pytest.mark.parametrize("what", NO_TLS)
def test_what_is_no_tls_is_closed_without_a_word(service: Running, what: str) -> None:
    with unmoved(service), service.connect() as client:
        client.sendall(NO_TLS[what])
        client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert b"HTTP" not in b"".join(iter(lambda: client.recv(65_536), b""))


def test_garbage_behind_the_handshake_is_closed_without_a_word(service: Running) -> None:
    with unmoved(service), service.shake() as client:
        with socket.socket(fileno=os.dup(client.fileno())) as beneath:
            beneath.sendall(b"\x17\x03\x03\x00\x40" + bytes(64))
        with suppress(OSError):
            client.recv(1)


def test_a_client_that_hangs_up_in_a_handshake_leaves_nothing(service: Running) -> None:
    with unmoved(service):
        for _ in range(5):
            with service.connect() as client:
                client.sendall(NO_TLS["half a record"])


def is_cut(client: socket.socket) -> bool:
    """Whether the service has hung up, looked at without waiting."""
    client.settimeout(0)
    try:
        return client.recv(1 << 20) == b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True


@pytest.mark.parametrize("drip", [b"", b"\x01"], ids=["never shakes hands", "drips its handshake"])
def test_a_client_without_a_handshake_gets_its_span_and_no_more(
    service: Running, drip: bytes
) -> None:
    """More of them than there are threads; then one that behaves is served."""
    with unmoved(service), ExitStack() as slow:
        clients = [slow.enter_context(service.connect()) for _ in range(THREADS)]
        begun = time.monotonic()
        for client in clients:
            client.sendall(b"\x16\x03\x01\x40\x00" if drip else b"")
        while not all(map(is_cut, clients)):
            assert time.monotonic() - begun < SPAN + 1.5
            for client in clients:
                with suppress(OSError):
                    client.send(drip)
            time.sleep(0.05)
        assert time.monotonic() - begun > SPAN - 0.1


def test_a_handshake_and_the_request_behind_it_share_one_span(service: Running) -> None:
    context = tls.client_context(service.shown.ca)
    with unmoved(service), service.connect() as plain:
        begun = time.monotonic()
        time.sleep(SPAN * 0.8)
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(b"GET / HTTP/1.1\r\n")
            while not is_cut(client):
                time.sleep(0.02)
            # A span of its own for the request would end at 1.8.
            assert time.monotonic() - begun < SPAN * 1.5


def test_a_client_that_does_not_take_its_answer_is_cut(service: Running) -> None:
    with ExitStack() as slow, unmoved(service):
        begun = time.monotonic()
        for _ in range(THREADS):
            client = slow.enter_context(service.shake())
            client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        assert service.answers()
        assert time.monotonic() - begun > SPAN / 2, "no thread was free before"
