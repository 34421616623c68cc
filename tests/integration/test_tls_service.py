"""A service over TLS under gunicorn, with faulty clients.

`test_processes` runs a whole fleet over TLS.
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

LIMIT = 0.6  # seconds for a request, and for its response
THREADS = 2
PATIENCE = 40.0  # seconds: two cores may be busy with other tests

SERVICE = """
import sys
from pathlib import Path

from flask import Flask, request

from dragon.net.deadlines import ServerSocket
from dragon.net.tls import Tls
from dragon.node.gunicorn_server import serve
from dragon.node.service import Service

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
        span=LIMIT, port=port, threads=THREADS, certfile=shown.certfile, keyfile=shown.keyfile
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
def undisturbed(service: Running) -> Iterator[None]:
    """Check that the service soon answers again and has logged nothing."""
    before = service.output.read_text()
    yield
    begun = time.monotonic()
    assert service.answers()
    assert time.monotonic() - begun < 2 * LIMIT + 2
    assert service.output.read_text() == before


def read_to(client: socket.socket, end: bytes) -> bytes:
    answer = b""
    while not answer.endswith(end):
        piece = client.recv(1)
        assert piece, answer
        answer += piece
    return answer


def test_a_tls_connection_is_closed_with_close_notify(service: Running) -> None:
    with undisturbed(service), service.shake() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65_536), b""))

        assert client.version() == "TLSv1.3"
        assert answer.endswith(b"\r\n\r\nhttps")
        assert client.unwrap().recv(1) == b"", "the service has sent close_notify"


def test_tls_1_2_is_accepted(service: Running) -> None:
    context = tls.client_context(service.shown.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with context.wrap_socket(service.connect(), server_hostname="localhost") as client:
        assert client.version() == "TLSv1.2"


def test_a_request_that_openssl_has_decrypted_is_answered_at_once(service: Running) -> None:
    """The second request is in the TLS record of the first, after the part that gunicorn reads."""
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


def test_a_connection_can_be_used_again(service: Running) -> None:
    with service.shake() as client:
        for _ in range(3):
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_to(client, b"https").startswith(b"HTTP/1.1 200 OK")
            time.sleep(LIMIT / 2)


def test_a_large_body_is_received_whole(service: Running) -> None:
    with service.shake() as client:
        client.sendall(b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n")
        client.sendall(bytes(3_000_000))
        assert read_to(client, b"\r\n\r\n3000000").startswith(b"HTTP/1.1 200 OK")


NOT_TLS = {
    "plain HTTP": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "garbage": bytes(range(256)) * 40,
    "zeros": bytes(1000),
    "half a record": b"\x16\x03\x01\x02\x00\x01\x00",
    "a hello that is none": b"\x16\x03\x01\x00\x04\x01\x00\x00\xff",
    "nothing": b"",
}


@pytest.mark.parametrize("what", NOT_TLS)
def test_a_client_without_tls_is_disconnected_silently(service: Running, what: str) -> None:
    with undisturbed(service), service.connect() as client:
        client.sendall(NOT_TLS[what])
        with suppress(OSError):  # the service may have closed the connection already
            client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert b"HTTP" not in b"".join(iter(lambda: client.recv(65_536), b""))


def test_garbage_after_the_handshake_closes_the_connection_silently(service: Running) -> None:
    with undisturbed(service), service.shake() as client:
        with socket.socket(fileno=os.dup(client.fileno())) as beneath:
            beneath.sendall(b"\x17\x03\x03\x00\x40" + bytes(64))
        with suppress(OSError):
            client.recv(1)


def test_a_client_may_disconnect_during_the_handshake(service: Running) -> None:
    with undisturbed(service):
        for _ in range(5):
            with service.connect() as client:
                client.sendall(NOT_TLS["half a record"])


def is_cut(client: socket.socket) -> bool:
    """Whether the service has closed the connection; does not wait."""
    client.settimeout(0)
    try:
        return client.recv(1 << 20) == b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True


@pytest.mark.parametrize("drip", [b"", b"\x01"], ids=["makes no handshake", "drips its handshake"])
def test_an_unfinished_handshake_is_cut_off_at_the_limit(service: Running, drip: bytes) -> None:
    """As many of them as there are threads; then another client is served."""
    with undisturbed(service), ExitStack() as slow:
        clients = [slow.enter_context(service.connect()) for _ in range(THREADS)]
        begun = time.monotonic()
        for client in clients:
            client.sendall(b"\x16\x03\x01\x40\x00" if drip else b"")
        while not all(map(is_cut, clients)):
            assert time.monotonic() - begun < LIMIT + 1.5
            for client in clients:
                with suppress(OSError):
                    client.send(drip)
            time.sleep(0.05)
        assert time.monotonic() - begun > LIMIT - 0.1


def test_handshake_and_request_share_one_limit(service: Running) -> None:
    context = tls.client_context(service.shown.ca)
    with undisturbed(service), service.connect() as plain:
        begun = time.monotonic()
        time.sleep(LIMIT * 0.8)
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(b"GET / HTTP/1.1\r\n")
            while not is_cut(client):
                time.sleep(0.02)
            # With a separate limit for the request, the connection would end at 1.8.
            assert time.monotonic() - begun < LIMIT * 1.5


def test_a_client_that_does_not_read_its_response_is_cut_off(service: Running) -> None:
    slow_responses: list[socket.socket] = []
    with ExitStack() as slow, undisturbed(service):
        begun = time.monotonic()
        for _ in range(THREADS):
            client = slow.enter_context(service.shake())
            client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            if not slow_responses:
                assert client.recv(1)  # its thread waits now
            slow_responses.append(client)
        assert service.answers()
        assert time.monotonic() - begun > LIMIT / 2, "no thread was free before"
