"""A service under gunicorn, as real processes: few open files, pauses, and dying workers."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from ports import free_block

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

OPEN_FILES = 256
WORKER_TIMEOUT_SECONDS = 3
PATIENCE = 40.0  # seconds: two cores may be busy with other tests

SERVICE = """
import os, resource

from flask import Flask

from dragon.net.tls import PLAIN
from dragon.node import gunicorn_server
from dragon.node.service import Service

app = Flask("small")


@app.get("/pid")
def pid():
    return str(os.getpid())


resource.setrlimit(resource.RLIMIT_NOFILE, (64, {files}))
gunicorn_server.WORKER_TIMEOUT_SECONDS = {timeout}
gunicorn_server.serve(
    lambda: Service(app), name="small", host="127.0.0.1", port={port}, threads=8, tls=PLAIN
)
"""


@dataclass(frozen=True, slots=True)
class Running:
    port: int
    output: Path
    process: subprocess.Popen[bytes]

    def worker(self) -> int:
        """The process that answers a request."""
        return int(requests.get(f"http://127.0.0.1:{self.port}/pid", timeout=5).text)

    def another_worker(self, than: int) -> int:
        """Wait until another process answers, without refusing a connection in between."""
        ends = time.monotonic() + PATIENCE
        while True:
            with suppress(requests.ConnectionError):  # the connection was in the old process
                if (worker := self.worker()) != than:
                    return worker
            assert time.monotonic() < ends
            time.sleep(0.02)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    port, output = free_block(1), tmp_path_factory.mktemp("small") / "output"
    code = SERVICE.format(port=port, timeout=WORKER_TIMEOUT_SECONDS, files=OPEN_FILES)
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    service = Running(port, output, process)
    ends = time.monotonic() + PATIENCE
    while not answers(service.worker):
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < ends
        time.sleep(0.05)
    yield service
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def answers(ask: Callable[[], object]) -> bool:
    with suppress(requests.RequestException):
        ask()
        return True
    return False


def test_more_connections_than_open_files_do_not_end_the_worker(running: Running) -> None:
    worker = running.worker()
    with ExitStack() as stack:
        for _ in range(2 * OPEN_FILES):
            peer = socket.create_connection(("127.0.0.1", running.port), timeout=10)
            stack.enter_context(closing(peer))
        for _ in range(5):
            assert running.worker() == worker
    assert "Traceback" not in running.output.read_text()


def test_a_worker_without_descriptors_refuses_connections_and_survives(running: Running) -> None:
    worker = running.worker()
    limits = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (24, limits[1]))
    with ExitStack() as stack:
        for _ in range(50):
            peer = socket.create_connection(("127.0.0.1", running.port), timeout=10)
            stack.enter_context(closing(peer))
        time.sleep(0.5)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, limits)
    assert running.another_worker(0) == worker
    assert running.output.read_text().count("no file descriptor is left") == 1


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nbad header: %s\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: %s\r\n\r\n", 400),
        (b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: %s\r\n\r\n", 501),
    ],
)
def test_a_broken_request_is_a_problem_and_no_line_of_the_log(
    running: Running, head: bytes, status: int
) -> None:
    before = running.output.stat().st_size
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as peer:
        peer.sendall(head % (b"secret" * 1000))
        answer = b"".join(iter(lambda: peer.recv(4096), b""))
    top, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in top
    assert json.loads(body)["status"] == int(top.split()[1]) == status
    assert b"secret" not in answer
    assert running.output.stat().st_size == before


def test_a_pause_of_the_machine_does_not_replace_the_worker(running: Running) -> None:
    worker = running.worker()
    os.killpg(running.process.pid, signal.SIGSTOP)
    time.sleep(WORKER_TIMEOUT_SECONDS + 1)
    os.killpg(running.process.pid, signal.SIGCONT)
    time.sleep(0.5)
    assert running.worker() == worker
    assert "replaced" not in running.output.read_text()


def test_a_worker_that_hangs_is_replaced(running: Running) -> None:
    worker = running.worker()
    os.kill(worker, signal.SIGSTOP)
    running.another_worker(worker)
    assert "The worker does not respond for 3 s" in running.output.read_text()


def test_sighup_replaces_the_worker_after_the_old_one_has_ended(running: Running) -> None:
    worker = running.worker()
    os.kill(running.process.pid, signal.SIGHUP)
    running.another_worker(worker)
    assert not Path(f"/proc/{worker}").exists()
    assert running.process.poll() is None


def test_the_service_ends_when_its_workers_die_again_and_again(running: Running) -> None:
    worker = running.worker()
    while running.process.poll() is None:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGBUS)
        with suppress(AssertionError, requests.RequestException):
            worker = running.another_worker(worker) if answers(running.worker) else worker
    assert running.process.wait() == 1
    said = running.output.read_text()
    assert "3 workers died within 60 s; the last was killed by SIGBUS" in said
    assert "Traceback" not in said
