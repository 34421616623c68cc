"""Probes of an operator while clients without a key try to take its capacity.

One operator runs as a process of its own, without a ledger or peers, and the hostile clients in
another one. `GET /status` is asked ten times a second, on a new connection from the same address
each time, with a deadline of one second. The reference is gunicorn's threaded worker with 64
threads and a keep-alive of 2 s, which served operators before.

Goals: at least 99 % of the probes are answered, and memory stays within 1.5 times of what it was.
`BENCH_SECONDS` sets how long each attack lasts, `BENCH_ATTACKS` which ones are made.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gunicorn.app.base import BaseApplication

from dragon.node.service import Service
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.settings import environment
from dragon_operator import main as operator
from dragon_operator.settings import Settings
from dragon_sequencer.connect import load_nodes
from fixtures import make_members
from timing import percentile, show, verdict

__all__ = ["make_members"]  # importing it puts the folder of the tests on the path

from hostile_clients import ATTACKS, Probes, probe
from ports import free_block

GOAL_SHARE: Final = 0.99
GOAL_MEMORY: Final = 1.5
SECONDS: Final = float(os.environ.get("BENCH_SECONDS", "8"))  # of each attack
RISE_SECONDS: Final = 2.0  # for the clients to connect, before the first probe
START_SECONDS: Final = 30.0
REQUESTS: Final = 500  # to measure the processor time of one
OURS, GUNICORN = "this server", "gunicorn gthread"
CLIENTS: Final = Path(__file__).parent.parent / "tests" / "hostile_clients.py"


class _Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    def __init__(self, service: Service, port: int) -> None:
        self._service, self._port = service, port
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": f"127.0.0.1:{self._port}",
            "worker_class": "gthread",
            "threads": 64,
            "keepalive": 2,
            "backlog": 256,
            "worker_connections": 512,
            "timeout": 60,
            "loglevel": "critical",
            "control_socket_disable": True,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._service.app


def run_operator(server: str, home: Path, port: int) -> None:
    """Run an operator with one of the servers, until the process is ended."""
    environ = environment(Home(home), "operator_1", host="127.0.0.1", port=port)
    if server == OURS:
        operator.serve(environ)
    settings = Settings.from_environ(environ)
    nodes = load_nodes(settings.nodes_files, [settings.committee])
    _Gunicorn(operator.build(settings, nodes), port).run()


@dataclass(frozen=True, slots=True)
class Running:
    process: subprocess.Popen[bytes]
    port: int
    start_seconds: float

    def _members(self) -> list[Path]:
        """The processes of the service, in /proc."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == self.process.pid:
                found.append(folder)
        return found

    def memory(self) -> int:
        """Resident bytes of all processes of the service."""
        pages = sum(int((each / "statm").read_text().split()[1]) for each in self._members())
        return pages * os.sysconf("SC_PAGE_SIZE")

    def processor_seconds(self) -> float:
        ticks = 0
        for each in self._members():
            fields = (each / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(server: str, home: Path) -> Iterator[Running]:
    """A fresh operator under one of the servers."""
    port, begun = free_block(1), time.monotonic()
    with (home / "output").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, __file__, server, str(home), str(port)],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        while not probe(port, 0.01, pause=0.02).answered:
            if process.poll() is not None or time.monotonic() - begun > START_SECONDS:
                raise SystemExit((home / "output").read_text()[-2000:])
        yield Running(process, port, time.monotonic() - begun)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass(frozen=True, slots=True)
class Result:
    probes: Probes
    memory: float  # after the attack, in parts of before

    @property
    def reached(self) -> bool:
        return self.probes.share >= GOAL_SHARE and self.memory <= GOAL_MEMORY

    def cells(self) -> tuple[str, ...]:
        times = self.probes.answered
        spent = ("-", "-")
        if times:
            spent = (f"{1000 * percentile(times, 50):.0f}", f"{1000 * max(times):.0f}")
        count = f"{len(times)} of {len(self.probes.results)}"
        return (count, *spent, f"{self.memory:.2f}")


def attacked(server: str, home: Path, attack: str) -> Result:
    """Probe an operator during one attack."""
    with running(server, home) as service:
        probe(service.port, 1.0)
        before = service.memory()
        arguments = [attack, str(service.port), str(SECONDS)]
        with subprocess.Popen([sys.executable, str(CLIENTS), *arguments]) as clients:
            time.sleep(RISE_SECONDS)
            probes = probe(service.port, SECONDS - RISE_SECONDS)
            memory = service.memory() / before
            clients.wait()
    return Result(probes, memory)


def cost(server: str, home: Path) -> tuple[float, float]:
    """Milliseconds of processor time for a request on a new connection, and seconds to start."""
    with running(server, home) as service:
        probe(service.port, 1.0, pause=0)
        before, asked = service.processor_seconds(), 0
        while asked < REQUESTS:
            asked += len(probe(service.port, 0.2, pause=0).results)
        return 1000 * (service.processor_seconds() - before) / asked, service.start_seconds


def _compared(what: str, own: float, theirs: float) -> tuple[str, ...]:
    return (what, f"{own:.2f}", f"{theirs:.2f}", f"{own / theirs:.2f}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "fleet"
        base = free_block(6)
        plan = Plan(ports=Ports(base, base + 4, base + 5), round_seconds=2)
        make_fleet(Home(home), plan, genesis=int(time.time()))
        rows, missed = [], 0
        chosen = os.environ.get("BENCH_ATTACKS", ",".join(ATTACKS)).split(",")
        for name in chosen:
            ours, theirs = attacked(OURS, home, name), attacked(GUNICORN, home, name)
            missed += not ours.reached
            rows.append((ATTACKS[name].name, *ours.cells(), *theirs.cells(), verdict(ours.reached)))
        columns = ("attack", "answered", "p50", "worst", "memory")
        show(
            "Probes of an operator under attack, answered within 1 s",
            (*columns, *(f"{each}*" for each in columns[1:]), "goal"),
            rows,
            "p50 and worst in ms; memory after / before; *: gunicorn's threaded worker. "
            f"Goal: {GOAL_SHARE:.0%} answered, memory within {GOAL_MEMORY}.",
        )
        (own_cost, own_start), (their_cost, their_start) = cost(OURS, home), cost(GUNICORN, home)
    show(
        "Cost without an attack",
        ("", "this server", "gunicorn gthread", "ratio"),
        [
            _compared(
                "processor time of GET /status on a new connection, ms", own_cost, their_cost
            ),
            _compared("from the start to the first answer, s", own_start, their_start),
        ],
        "",
    )
    if missed:
        raise SystemExit(1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_operator(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
