"""Time from `kill -9` of a node to the certified event in all other logs.

A fleet of real processes on free ports: four operators, an aggregator, a sequencer. Operators are
killed one after the other, at phases spread evenly over the round. The time ends when the `down`
event is in the logs of the three other operators and the aggregator. Then the node is started
again, and the next one is killed once it is certified up.

The wait for the next round, in which the node is probed, cannot be avoided. The last column is the
time from there: two probes, the pause between them, attestations, the ledger's finality, the logs.

    python bench/detection.py [ROUND_SECONDS …]        default: 2

Goal: p95 at most one and a half rounds and a second.
"""

from __future__ import annotations

import random
import socket
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from itertools import cycle, islice
from pathlib import Path

from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import Fleet
from timing import percentile, show, verdict

WAIT_TIMEOUT_SECONDS = 40.0  # for an event to reach the logs
POLL_SECONDS = 0.01


class Logs:
    """The log files of a running fleet, opened read-only."""

    def __init__(self, fleet: Fleet, stack: ExitStack) -> None:
        self._files: dict[str, sqlite3.Connection] = {}
        for name in fleet.addresses:
            if name != "sequencer":
                uri = f"{fleet.home.database(name).absolute().as_uri()}?mode=ro"
                opened = closing(sqlite3.connect(uri, uri=True))
                self._files[name] = stack.enter_context(opened)

    def wait(self, node_id: str, moves: int, *, besides: str = "") -> None:
        """Wait until every log except `besides` holds `moves` events on that node."""
        query = "SELECT COUNT(*) FROM logs WHERE node_id = ?"
        ends = time.monotonic() + WAIT_TIMEOUT_SECONDS
        for name, file in self._files.items():
            while name != besides and file.execute(query, (node_id,)).fetchone()[0] < moves:
                if time.monotonic() > ends:
                    raise SystemExit(
                        f"{name} has fewer than {moves} events on {node_id} after the timeout"
                    )
                time.sleep(POLL_SECONDS)


def free_ports() -> Ports:
    """Consecutive ports that are free now."""
    while True:
        base = random.SystemRandom().randrange(20_000, 32_000, 10)
        if all(_is_free(base + offset) for offset in range(6)):
            return Ports(base, base + 4, base + 5)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def measure(round_seconds: int, outages: int) -> tuple[list[float], list[float]]:
    """Seconds to the last log, from each kill and from the start of the next round."""
    with tempfile.TemporaryDirectory(prefix="datadragon-bench-") as folder, ExitStack() as stack:
        home, plan = Home(Path(folder)), Plan(ports=free_ports(), round_seconds=round_seconds)
        make_fleet(home, plan, genesis=int(time.time()))
        fleet = stack.enter_context(Fleet(home))
        fleet.start_all()
        fleet.wait_ready()
        logs = Logs(fleet, stack)
        for node_id in fleet.committee.keys:
            logs.wait(node_id, 1)
        moves = dict.fromkeys(fleet.committee.keys, 1)
        phases = [(number + random.random()) / outages for number in range(outages)]  # noqa: S311
        random.shuffle(phases)
        took, own = [], []
        for victim, phase in zip(islice(cycle(moves), outages), phases, strict=True):
            _sleep_until(fleet, phase)
            killed = time.time()
            fleet.kill(victim)
            logs.wait(victim, moves[victim] + 1, besides=victim)
            certified = time.time()
            rounds = fleet.committee.rounds
            took.append(certified - killed)
            own.append(certified - rounds.start(rounds.number(killed) + 1))
            fleet.start(victim)
            moves[victim] += 2
            logs.wait(victim, moves[victim], besides=victim)
    return took, own


def _sleep_until(fleet: Fleet, phase: float) -> None:
    """Sleep until that phase of the current or the next round."""
    rounds = fleet.committee.rounds
    into = (time.time() - rounds.genesis) / rounds.seconds
    time.sleep((phase - into) % 1 * rounds.seconds)


def row(round_seconds: int, outages: int) -> tuple[object, ...]:
    took, own = measure(round_seconds, outages)
    p50, p95 = percentile(took, 50), percentile(took, 95)
    goal = 1.5 * round_seconds + 1
    judged = f"p95 ≤ {goal:.1f}: {verdict(p95 <= goal)}"
    times = (f"{p50:.2f}", f"{p95:.2f}", f"{max(took):.2f}", judged)
    return (f"{round_seconds} s", outages, *times, f"{percentile(own, 50):.2f}")


def main(*, rounds: tuple[int, ...] = (2,), outages: int = 20) -> None:
    rows = [row(round_seconds, outages) for round_seconds in rounds]
    columns = ("round", "outages", "p50, s", "p95, s", "most, s", "goal", "from next round, p50")
    note = "From SIGKILL to the event in the last of four logs. Six processes on this machine."
    show("Kill to event in every log", columns, rows, note)


if __name__ == "__main__":
    main(rounds=tuple(map(int, sys.argv[1:])) or (2,))
