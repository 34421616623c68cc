"""One operator verifies windows in worker processes, which are killed under load.

Another operator is killed too, and restarted. Windows go on being certified, and nobody calls one
invalid: what happens to a process says nothing about a window.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dragon.log.audit import audit
from dragon.net.http_client import HttpClient
from dragon.net.stream_client import StreamClient
from dragon.net.stream_upload import StreamUpload
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import STREAMS, Home
from dragon_cli.fleet.streams import connect, find
from forked import ForkedFleet
from ports import free_block

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]

PATIENCE: Final = 120.0  # seconds: two cores may be busy with other tests
WITH_WORKERS, KILLED = "operator_1", "operator_3"
LOGS: Final = [f"operator_{number}" for number in range(1, 5)] + ["aggregator", STREAMS]
KILLS: Final = 4  # of both workers
ROUNDS: Final = 6  # uploads to each stream
MESSAGES: Final = 21  # of one upload: three windows


class Verifying(ForkedFleet):
    """A fleet with one operator that has two verifying worker processes."""

    def spawn(self, arguments: Any, output: IO[bytes], environ: Mapping[str, str]) -> Any:
        if WITH_WORKERS in arguments:
            environ = {**environ, "OPERATOR_VERIFIERS": "2"}
        return super().spawn(arguments, output, environ)

    def workers(self) -> list[int]:
        """The worker processes of that operator."""
        tasks = Path(f"/proc/{self.running[WITH_WORKERS].pid}/task")
        return [int(pid) for each in tasks.glob("*/children") for pid in each.read_text().split()]

    def metric(self, name: str) -> float:
        url = self.addresses[WITH_WORKERS] + "/metrics"
        text = HttpClient.create().get(url, deadline=5, max_bytes=1 << 20).body.decode()
        families = text_string_to_metric_families(text)
        return sum(s.value for family in families for s in family.samples if s.name == name)

    def has_workers(self) -> bool:
        return self.metric("datadragon_verifiers") == 2

    def judged(self, name: str) -> list[str]:
        """The verdicts of an operator, by its output."""
        lines = map(json.loads, self.home.output(name).read_text().splitlines())
        return [each["verdict"] for each in lines if each["event"] == "window_judged"]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Verifying]:
    base = free_block(8)
    ports = Ports(base, base + 4, base + 5, prover=base + 6, streams=base + 7)
    home = Home(tmp_path_factory.mktemp("verifiers") / "fleet")
    make_fleet(home, Plan(ports=ports, round_seconds=2), genesis=int(time.time()))
    with Verifying(home) as running:
        running.start_all()
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def streams(fleet: Verifying) -> list[tuple[StreamClient, str]]:
    """Three streams that are known to all operators: each has a certified window."""
    made = []
    for number in range(3):
        settings: dict[str, Any] = {"mode": "message", "window_chunks": 7, "window_ms": 500}
        client, found = find(
            connect(fleet.home, None, None), fleet.home, f"load-{number}", None, **settings
        )
        made.append((client, str(found["stream"])))
        StreamUpload(client, made[-1][1], [b"first"], end_window=True).run()
    wait_certified(fleet, made)
    fleet.wait_until(fleet.has_workers, "both workers are ready", PATIENCE)
    return made


def wait_certified(fleet: Verifying, streams: list[tuple[StreamClient, str]]) -> int:
    """Wait until all windows are certified. Return their number."""

    def certified() -> bool:
        said = [client.get(f"/streams/{stream}") for client, stream in streams]
        return all(each["certified"] == each["windows"] > 0 for each in said)

    fleet.wait_until(certified, "all windows are certified", PATIENCE)
    return sum(client.get(f"/streams/{stream}")["windows"] for client, stream in streams)


def load(stream: tuple[StreamClient, str]) -> None:
    for _ in range(ROUNDS):
        messages = [b"%d" % number for number in range(MESSAGES)]
        StreamUpload(*stream, messages, end_window=True).run()


def kill_workers(fleet: Verifying, stop: threading.Event) -> int:
    """Kill both workers whenever they are ready, at different moments of their work."""
    killed = 0
    while killed < KILLS and not stop.is_set():
        if fleet.has_workers():
            for pid in fleet.workers():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed += 1
        stop.wait(0.05 * (killed + 1))
    return killed


def test_windows_are_certified_while_workers_and_an_operator_are_killed(
    fleet: Verifying, streams: list[tuple[StreamClient, str]]
) -> None:
    before, stop = wait_certified(fleet, streams), threading.Event()
    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load, stream) for stream in streams]
        killing = pool.submit(kill_workers, fleet, stop)
        fleet.kill(KILLED)
        while wait_certified(fleet, streams) < before + 9:
            time.sleep(0.1)
        fleet.start(KILLED)
        for each in loads:
            each.result(PATIENCE)
        killing.result(PATIENCE)
    windows = wait_certified(fleet, streams)

    assert windows == before + 3 * ROUNDS * MESSAGES // 7
    assert fleet.metric("datadragon_verifiers_replaced") >= 2
    fleet.wait_until(fleet.has_workers, "both workers are ready again", PATIENCE)
    for client, stream in streams:
        client_said = client.get(f"/streams/{stream}")
        assert client_said["stopped"] is None
    for name in LOGS[:4]:
        assert set(fleet.judged(name)) == {"valid"}
    fleet.wait_until(lambda: have_all(fleet, windows), "all logs have all windows", PATIENCE)


def have_all(fleet: Verifying, windows: int) -> bool:
    """Whether every log has all windows and no refutation, by its audit."""
    found = [audit(fleet.home.database(name), fleet.committee).state.streams for name in LOGS]
    assert not any(each.refuted for streams in found for each in streams.values())
    return all(sum(each.windows for each in streams.values()) == windows for streams in found)
