"""An explorer as a process, whose live services all hang, and strangers who have things verified.

The services accept every connection and never answer.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_explorer.views.verify import MAX_VERIFY_BYTES
from ports import free_block

pytestmark = [pytest.mark.processes, pytest.mark.timeout(200)]

PATIENCE = 60.0  # seconds: two cores may be busy with other tests
STRANGER, OTHER_STRANGER = "127.0.0.2", "127.0.0.3"  # the committee is at 127.0.0.1
THREADS = 4  # for pages
# The other threads: main, 3 for health, 1 that verifies, and one each for the ledger, the history,
# the index, the addresses of members and 6 watched services.
MAX_THREADS = THREADS + 5 + 10
MAX_GROWTH_BYTES = 40 << 20
PATHS = (
    *("/", "/nodes/operator_1", "/incidents", "/rounds", "/committee", "/streams", "/log"),
    *("/verify", "/public", "/alerts", "/feed.atom", "/badge/operator_1.svg", "/api/fleet"),
    *("/api/rounds", "/api/committee", "/api/streams", "/metrics", "/healthz"),
)
# `dragon serve explorer`, in which the check of some documents waits for a file or costs a minute.
EXPLORER = """
import sys, time
from pathlib import Path

from flask import request

from dragon.node.admission import COST_MS
from dragon_cli.main import main
from dragon_explorer.routes import verification

folder, check = Path(sys.argv.pop(1)), verification.verification


def changed(raw, sources):
    if raw.startswith(b"wait-"):
        (folder / raw.decode()).touch()
        while not (folder / "go").exists():
            time.sleep(0.005)
    if raw == b"expensive":
        request.environ[COST_MS] = 60_000.0
    return check(raw, sources)


verification.verification = changed
main()
"""


@dataclass
class Hanging:
    """Accepts connections on some ports, reads what comes, and never answers."""

    ports: range

    def __post_init__(self) -> None:
        self.open: dict[int, set[socket.socket]] = {port: set() for port in self.ports}
        self._selector = selectors.DefaultSelector()
        self._listeners = [socket.create_server(("127.0.0.1", port)) for port in self.ports]
        for listener in self._listeners:
            self._selector.register(listener, selectors.EVENT_READ)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select(0.05):
                self._take(key.fileobj)  # type: ignore[arg-type]

    def _take(self, ready: socket.socket) -> None:
        if ready in self._listeners:
            connection, _ = ready.accept()
            self._selector.register(connection, selectors.EVENT_READ)
            self.open[ready.getsockname()[1]].add(connection)
        elif not ready.recv(65_536):
            self._selector.unregister(ready)
            self.open[ready.getsockname()[1]].discard(ready)
            ready.close()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for each in (*self._listeners, *(each for found in self.open.values() for each in found)):
            each.close()


@dataclass
class Running:
    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    hanging: Hanging

    def status(self, name: str) -> int:
        """A figure of the process, such as `Threads` or `VmRSS` (KiB)."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        [line] = [line for line in text.splitlines() if line.startswith(f"{name}:")]
        return int(line.split()[1])

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=PATIENCE)

    def waiting(self) -> int:
        """The number of verifications that wait for the thread."""
        name = 'datadragon_requests_waiting{lane="verify"} '
        [line] = [line for line in self.get("/metrics").text.splitlines() if line.startswith(name)]
        return int(float(line.removeprefix(name)))

    def begin(self, body: bytes, source: str = "127.0.0.1", path: str = "/api/verify") -> Request:
        return Request(self, body, source, path)


class Request:
    """A request that has been sent, and whose answer nobody has read."""

    def __init__(self, service: Running, body: bytes, source: str, path: str) -> None:
        port = int(service.url.rpartition(":")[2])
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        self._socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def answer(self) -> tuple[int, str]:
        """The status and everything else of the answer."""
        with self._socket:
            text = b"".join(iter(lambda: self._socket.recv(65_536), b"")).decode()
        return int(text.split()[1]), text

    def leave(self) -> None:
        self._socket.close()


def wait_until(reached: Callable[[], object], seconds: float = PATIENCE) -> None:
    ends = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("explorer")
    base = free_block(10)
    ports = Ports(base, base + 4, base + 5, base + 6, base + 7, base + 8)
    home = folder / "fleet"
    make_fleet(Home(home), Plan(ports=ports), genesis=int(time.time()) - 600)
    command = [sys.executable, "-c", EXPLORER, str(folder), "serve", "explorer"]
    with ExitStack() as stack, (folder / "output").open("wb") as output:
        hanging = Hanging(range(base, base + 8))
        stack.callback(hanging.close)
        process = subprocess.Popen(
            [*command, "--home", str(home)],
            env={"DRAGON_THREADS": str(THREADS), "PATH": ""},
            stdout=output,
            stderr=output,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        found = Running(f"http://127.0.0.1:{base + 8}", folder, process, hanging)

        def answers() -> bool:
            assert process.poll() is None, (folder / "output").read_text()
            try:
                return found.get("/healthz").ok
            except requests.ConnectionError:
                return False

        wait_until(answers, 2 * PATIENCE)
        yield found


def test_pages_wait_for_no_live_service(running: Running) -> None:
    """All services hang: operators, aggregator, ledger and stream service."""
    asked = {port for port in running.hanging.ports if port != running.hanging.ports[6]}
    wait_until(lambda: all(running.hanging.open[port] for port in asked))  # but the prover

    assert {path: running.get(path).status_code for path in PATHS} == dict.fromkeys(PATHS, 200)
    before = running.status("VmRSS")
    for path in PATHS * 5:
        assert running.get(path).status_code == 200
    found = running.get("/api/fleet").json()["health"]

    assert {each["agreement"] for each in found["operator_states"]} == {"silent"}
    assert running.status("Threads") <= MAX_THREADS
    assert 1024 * (running.status("VmRSS") - before) < MAX_GROWTH_BYTES
    assert all(len(connections) <= 2 for connections in running.hanging.open.values())


def test_one_document_is_verified_at_once_and_pages_do_not_wait(running: Running) -> None:
    first = running.begin(b"wait-1")
    wait_until((running.folder / "wait-1").exists)
    second = running.begin(b"wait-2", STRANGER)
    gone = running.begin(b"wait-3", OTHER_STRANGER)
    form = running.begin(b"", path="/verify/result")
    wait_until(lambda: running.waiting() == 3)
    gone.leave()

    assert not (running.folder / "wait-2").exists()
    assert {running.get(path).status_code for path in PATHS} == {200}
    (running.folder / "go").touch()

    assert [each.answer()[0] for each in (first, second, form)] == [200] * 3
    assert running.begin(b"{}").answer()[0] == 200  # the last one that the thread serves
    assert (running.folder / "wait-2").exists()
    assert not (running.folder / "wait-3").exists()  # nobody waits for its verdict


def test_a_client_that_leaves_during_its_verification_costs_no_thread(running: Running) -> None:
    go = running.folder / "go"
    go.unlink(missing_ok=True)
    leaving = running.begin(b"wait-4", STRANGER)
    wait_until((running.folder / "wait-4").exists)
    leaving.leave()
    go.touch()

    assert running.begin(b"{}").answer()[0] == 200


@pytest.mark.parametrize("path", ["/api/verify", "/verify/result"])
def test_a_document_that_is_too_large_is_refused_before_it_is_read(
    running: Running, path: str
) -> None:
    status, text = running.begin(b"x" * (2 * MAX_VERIFY_BYTES), STRANGER, path).answer()

    assert status == 413
    assert "application/problem+json" in text


def test_strangers_pay_for_what_a_verification_takes(running: Running) -> None:
    expensive, after, page, member = [
        running.begin(*each).answer()
        for each in (
            (b"expensive", OTHER_STRANGER),
            (b"{}", OTHER_STRANGER),
            (b"", OTHER_STRANGER, "/verify/result"),
            (b"{}",),
        )
    ]

    assert [each[0] for each in (expensive, after, page, member)] == [200, 429, 429, 200]
    assert "Retry-After: " in after[1]
    assert "application/problem+json" in after[1]
    assert running.get("/").status_code == 200


def test_more_waiting_verifications_than_places_are_refused(running: Running) -> None:
    """The queue of strangers is bounded, and members have one of their own."""
    go = running.folder / "go"
    go.unlink(missing_ok=True)
    first = running.begin(b"wait-5")
    wait_until((running.folder / "wait-5").exists)
    with ExitStack() as crowd:
        for _ in range(300):
            crowd.callback(running.begin(b"{}", OTHER_STRANGER).leave)
        wait_until(lambda: running.waiting() == 256)
        status, text = running.begin(b"{}", OTHER_STRANGER).answer()
        member = running.begin(b"{}")
        wait_until(lambda: running.waiting() == 257)
    go.touch()

    assert status == 429
    assert "too many requests are waiting" in text
    assert [first.answer()[0], member.answer()[0]] == [200, 200]
