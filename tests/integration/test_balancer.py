"""`deploy/haproxy.cfg.example` with Debian's HAProxy and two provers, one of which is killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dragon.net.http_client import HttpClient
from dragon.net.prover_client import ProverClient
from dragon.stark.commitment import commit
from dragon_stream.provers import Provers
from prover_process import IDENTITY, KEY, OPENING, TOKEN, Running, free_port

EXAMPLE = Path(__file__).parents[2] / "deploy" / "haproxy.cfg.example"
HAPROXY = shutil.which("haproxy") or ""

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed"),
]


@pytest.fixture(scope="module")
def provers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    started: list[Running] = []
    try:
        for name in ("first", "second"):
            started.append(Running(tmp_path_factory.mktemp(name), free_port()))
        for each in started:
            each.wait_ready()
        yield started
    finally:
        for each in started:
            each.kill()


@pytest.fixture
def url(provers: list[Running], tmp_path: Path) -> Iterator[str]:
    """The URL of a proxy with the example's settings, apart from the ports."""
    port, text = free_port(), EXAMPLE.read_text()
    new = [f"127.0.0.1:{port}", *(each.url.removeprefix("http://") for each in provers)]
    for old, address in zip(("5200", "5201", "5202"), new, strict=True):
        before = text
        text = text.replace(f" 127.0.0.1:{old}\n", f" {address}\n")
        assert text != before, old
    file = tmp_path / "haproxy.cfg"
    file.write_text(text)
    process = subprocess.Popen([HAPROXY, "-db", "-f", str(file)])
    try:
        _wait_open(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _wait_open(port: int) -> None:
    ends = time.monotonic() + 10
    while True:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        assert time.monotonic() < ends
        time.sleep(0.02)


def prove(url: str, openings: list[bytes]) -> bytes:
    """Request a proof as a stream service does; it is verified."""
    provers = Provers([ProverClient(url, TOKEN, HttpClient.create())], time.monotonic)
    commitments = [commit(each) for each in openings]
    return provers.prove(
        lambda prover: prover.prove(
            "standard", (IDENTITY, commitments), b"\0", (KEY, openings), deadline=60
        )
    )


def test_the_example_is_valid_and_without_warnings() -> None:
    done = subprocess.run(
        [HAPROXY, "-c", "-dW", "-f", str(EXAMPLE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_both_provers_work_at_the_same_time(url: str, provers: list[Running]) -> None:
    """While the worker of one stands still, the other one makes the proofs."""
    (worker,) = provers[0].workers()
    os.kill(worker, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(2) as pool:
            answers = [pool.submit(prove, url, [OPENING]) for _ in range(2)]
            ends = time.monotonic() + 60
            while not any(each.done() for each in answers):
                assert time.monotonic() < ends
                time.sleep(0.05)
            os.kill(worker, signal.SIGCONT)
            assert all(each.result() for each in answers)
    finally:
        os.kill(worker, signal.SIGCONT)


def test_a_large_window_passes_the_proxy(url: str) -> None:
    """Its request has to fit into the proxy's buffer."""
    assert prove(url, [number.to_bytes(60, "big") for number in range(4095)])


def test_a_proof_is_made_by_the_other_prover_if_one_is_killed_meanwhile(
    url: str, provers: list[Running]
) -> None:
    for prover in provers:
        for worker in prover.workers():
            os.kill(worker, signal.SIGSTOP)  # so that each holds a request
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(prove, url, [OPENING]) for _ in range(2)]
        threading.Event().wait(1.0)
        assert not any(each.done() for each in answers)
        provers[0].kill()
        for worker in provers[1].workers():
            os.kill(worker, signal.SIGCONT)
        assert all(each.result() for each in answers)
    assert prove(url, [OPENING])
