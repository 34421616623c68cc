"""A service as a process behind the event loop: signals, descriptors, TLS, and hostile clients."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from authorities import Papers
from dragon.net import tls
from dragon.net.http_client import HttpClient
from dragon.net.session import KeepingAdapter, make_session
from dragon.net.tls import Tls
from hostile_clients import ATTACKS, Clients, attack, probe
from ports import free_block

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]

DESCRIPTORS = 256
LIMITED = ["prlimit", f"--nofile=64:{DESCRIPTORS}"]
PATIENCE = 40.0  # seconds: two cores may be busy with other tests
CROWD = "127.0.0.2"  # an address connects only so often; its crowd must not stop others
SERVICE = """
import sys, time
from pathlib import Path

from dragon.errors import InUse, SettingsError
from dragon.net.tls import Tls
from dragon.node import app as web
from dragon.node.http_server import serve
from dragon.node.lanes import Lane
from dragon.node.service import Service


def build():
    if {fails}:
        raise SettingsError("the file is missing")
    app = web.create("service", lambda: [])

    @app.get("/status")
    def status():
        return "up"

    @app.get("/slow")
    def slow():
        time.sleep(1)
        return "done"

    def close():
        sys.stderr.write("closed\\n")

    def loop(stop):
        if {in_use}:
            raise InUse("the files are in use")
        stop.wait()

    lanes = [Lane("probe", 2, ("/status",))]
    return Service(app, [loop], close, lanes)


papers = {papers}
serve(
    build,
    name="service",
    host="{host}",
    port={port},
    threads=4,
    tls=Tls(*map(Path, papers)) if papers else Tls(),
)
"""


@dataclass(frozen=True, slots=True)
class Running:
    port: int
    output: Path
    process: subprocess.Popen[bytes]

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10, (source, 0))

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(by)
        return self.process.wait(10)


def begin(
    folder: Path,
    *,
    papers: Tls | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    fails: bool = False,
    in_use: bool = False,
) -> Running:
    port, output = port or free_block(1), folder / f"output-{time.monotonic_ns()}"
    shown = [str(papers.certfile), str(papers.keyfile)] if papers else []
    code = SERVICE.format(port=port, host=host, fails=fails, in_use=in_use, papers=shown)

    with output.open("wb") as file:
        process = subprocess.Popen([*LIMITED, sys.executable, "-c", code], stdout=file, stderr=file)
    return Running(port, output, process)


@contextmanager
def running(
    folder: Path, ask: Callable[[Running], bool], papers: Tls | None = None, *, port: int = 0
) -> Iterator[Running]:
    service = begin(folder, papers=papers, port=port)
    try:
        ends = time.monotonic() + PATIENCE
        while not ask(service):
            assert service.process.poll() is None, service.output.read_text()
            assert time.monotonic() < ends
            time.sleep(0.05)
        yield service
    finally:
        service.process.kill()
        service.process.wait()


def answers(service: Running) -> bool:
    return probe(service.port, 0.001, pause=0, deadline=10).share == 1


def answers_tls(service: Running, ca: Path | None) -> bool:
    try:
        with tls.client_context(ca).wrap_socket(
            service.connect(), server_hostname="localhost"
        ) as client:
            client.sendall(b"GET /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(65_536), b""))
            client.unwrap()  # the service has sent close_notify
            return answer.endswith(b"\r\n\r\nup")
    except OSError:
        return False


def test_a_service_with_few_descriptors_goes_on_after_a_crowd(tmp_path: Path) -> None:
    with running(tmp_path, answers) as service, ExitStack() as crowd:
        for _ in range(600):
            crowd.enter_context(service.connect(CROWD))
        assert answers(service), "during the crowd"
        assert service.descriptors() < DESCRIPTORS
        crowd.close()
        assert answers(service)
        assert service.stop() == 0
        assert service.output.read_text() == "closed\n"


def test_a_crowd_without_a_handshake_keeps_no_tls_client_out(tmp_path: Path) -> None:
    papers = Papers.make(tmp_path).service("service")
    with (
        running(tmp_path, lambda each: answers_tls(each, papers.ca), papers) as service,
        ExitStack() as crowd,
    ):
        for _ in range(300):
            crowd.enter_context(service.connect(CROWD))
        assert answers_tls(service, papers.ca)
        with service.connect() as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"HTTP" not in plain.recv(1000)
        context = tls.client_context(papers.ca)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with context.wrap_socket(service.connect(), server_hostname="localhost") as client:
            assert client.version() == "TLSv1.2"
        service.process.send_signal(signal.SIGHUP)
        assert answers_tls(service, papers.ca)
        assert service.stop() == 0
        said = service.output.read_text().splitlines()
        assert [each for each in said if "certificate_read" not in each] == ["closed"]


def test_requests_in_progress_are_answered_before_the_service_stops(tmp_path: Path) -> None:
    with running(tmp_path, answers) as service, service.connect() as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        with service.connect() as other:  # answered after the first request has arrived
            other.sendall(b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n")
            other.recv(1000)
            assert service.stop(signal.SIGINT) == 0
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
        assert answer.endswith(b"done")
        assert b"Connection: close" in answer
        assert service.output.read_text() == "closed\n"


@pytest.mark.parametrize("encrypted", [False, True], ids=["http", "https"])
def test_a_client_with_a_kept_connection_notices_no_restart(
    tmp_path: Path, encrypted: bool
) -> None:
    papers = Papers.make(tmp_path).service("service") if encrypted else None
    ca = papers.ca if papers else None

    def is_up(service: Running) -> bool:
        return answers_tls(service, ca) if encrypted else answers(service)

    with running(tmp_path, is_up, papers) as service, make_session(ca) as session:
        http, scheme = HttpClient(session), "https" if encrypted else "http"
        url = f"{scheme}://127.0.0.1:{service.port}/status"
        adapter = session.get_adapter(url)
        assert isinstance(adapter, KeepingAdapter)
        for _ in range(3):
            assert http.get(url, deadline=10, keep=True).body == b"up"
            assert adapter.kept.idle == 1
        service.process.kill()
        service.process.wait()
        with running(tmp_path, is_up, papers, port=service.port):
            assert http.get(url, deadline=10, keep=True).body == b"up"


def test_a_pause_of_the_whole_process_loses_no_request(tmp_path: Path) -> None:
    with (
        running(tmp_path, answers) as service,
        service.connect() as half,
        service.connect() as slow,
    ):
        half.sendall(b"GET /sta")
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answers(service)
        os.kill(service.process.pid, signal.SIGSTOP)
        time.sleep(4)  # longer than a request may take to arrive
        half.sendall(b"tus HTTP/1.1\r\nHost: a\r\n\r\n")
        os.kill(service.process.pid, signal.SIGCONT)
        assert half.recv(1000).startswith(b"HTTP/1.1 200")
        assert slow.recv(1000).startswith(b"HTTP/1.1 200")
        assert service.stop() == 0
        assert service.output.read_text() == "closed\n"


def test_a_port_in_use_and_a_failure_to_build_are_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        busy = begin(tmp_path, port=port)
        broken = begin(tmp_path, fails=True)
        assert (busy.process.wait(PATIENCE), broken.process.wait(PATIENCE)) == (3, 3)
    assert busy.output.read_text() == (
        f"dragon: port_in_use: port {port} on 127.0.0.1 is in use; stop the process that uses it, "
        "or choose another port with `--port` or DRAGON_PORT\n"
    )
    assert broken.output.read_text() == "dragon: settings_error: the file is missing\n"


def test_a_loop_that_finds_another_process_ends_the_service(tmp_path: Path) -> None:
    service = begin(tmp_path, in_use=True)

    assert service.process.wait(PATIENCE) == 3
    assert service.output.read_text() == "closed\ndragon: in_use: the files are in use\n"


def test_probes_are_answered_during_attacks(tmp_path: Path) -> None:
    """`bench/connections.py` does this with more clients and all attacks."""
    with running(tmp_path, answers) as service:
        clients = Clients(service.port)
        for name in ("idle", "slow_body", "fast_status", "unread_answers"):
            hostile = threading.Thread(
                target=asyncio.run, args=(attack(ATTACKS[name], clients, 1.0, scale=0.1),)
            )
            hostile.start()
            probes = probe(service.port, 0.8, pause=0.2, deadline=10)
            hostile.join()
            assert probes.share == 1, name
        assert service.stop() == 0
