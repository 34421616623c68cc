"""A fleet of real processes under a flood of forged events, while an operator is killed.

Four operators, an aggregator and a sequencer run on this machine, so five logs share its
processors; in a real fleet each has its own. Forged events (see `flood.py`) are sent to the
sequencer at 1 MB/s, nine in a batch or one in a batch. After ten seconds an operator is killed.

    python bench/flood_fleet.py [SECONDS [MEGABYTES_PER_SECOND]]        default: 60 1

Goal: the outage is certified in all other logs within three rounds, and 30 s after the flood all
logs have read the whole ledger.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import requests

from detection import Logs, free_ports
from dragon.errors import DragonError
from dragon_cli.fleet.create import Plan, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import Fleet
from flood import MEGABYTE, bodies, forged_events
from timing import show, verdict

ROUND_SECONDS: Final = 5
KILL_AFTER_SECONDS: Final = 10.0  # from the beginning of the flood
SENDING_INTERVAL_SECONDS: Final = 0.25
WAIT_TIMEOUT_SECONDS: Final = 240.0  # for what a flood delays
GOAL_ROUNDS, GOAL_SECONDS = 3, 30
VICTIM, NODE = "operator_4", "operator_3"  # NODE: the subject of the forged events


class Flood(threading.Thread):
    """Sends prepared bodies of batches to the sequencer at a constant rate."""

    def __init__(self, url: str, app: str, parcels: list[list[str]]) -> None:
        super().__init__(daemon=True)
        self._url, self._app, self._parcels = url, app, parcels
        self.sent = 0  # characters

    def run(self) -> None:
        session, begun = requests.Session(), time.monotonic()
        for turn, parcel in enumerate(self._parcels):
            time.sleep(max(0.0, begun + turn * SENDING_INTERVAL_SECONDS - time.monotonic()))
            answer = session.put(f"{self._url}/node/batches", json={self._app: parcel}, timeout=30)
            if answer.ok:
                self.sent += sum(map(len, parcel))


def prepare(fleet: Fleet, events: int, seconds: float, rate: float) -> list[list[str]]:
    """Make parcels of batches that are sent together."""
    committee = fleet.committee
    first = committee.rounds.number(time.time()) + 1000
    made = bodies(forged_events(committee, NODE, first), events)
    one = next(made)
    size = max(1, round(rate * MEGABYTE * SENDING_INTERVAL_SECONDS / len(one)))
    count = round(seconds / SENDING_INTERVAL_SECONDS)
    return [list(itertools.islice(made, size)) for _ in range(count)]


def seconds_until(condition: Callable[[], bool]) -> float:
    """Return the seconds until a condition holds; infinite after the timeout."""
    begun = time.monotonic()
    while time.monotonic() - begun < WAIT_TIMEOUT_SECONDS:
        try:
            if condition():
                return time.monotonic() - begun
        except (DragonError, requests.RequestException, KeyError):
            pass
        time.sleep(0.1)
    return float("inf")


def is_certified_down(fleet: Fleet) -> bool:
    """Whether the logs of all other operators say that the victim is down."""
    others = [name for name in fleet.committee.keys if name != VICTIM]
    return all(fleet.view(name).status(VICTIM) == "down" for name in others)


def newest(fleet: Fleet) -> int:
    """Return the index of the ledger's newest batch."""
    state = requests.get(f"{fleet.addresses['sequencer']}/node/state", timeout=30).json()
    return int(state["data"]["apps"][fleet.committee.sequencer.app]["last_finalized_index"])


def has_read(fleet: Fleet, index: int) -> bool:
    """Whether the logs of all other services have read up to that index."""
    for name, url in fleet.addresses.items():
        if name in ("sequencer", VICTIM):
            continue
        metrics = requests.get(f"{url}/metrics", timeout=30).text
        line = next(
            one for one in metrics.splitlines() if one.startswith("datadragon_ledger_index ")
        )
        if float(line.split()[1]) < index:
            return False
    return True


def measure(events: int, seconds: float, rate: float) -> tuple[float, float, float]:
    """Return the rate in MB/s, the rounds to the certified outage, and the seconds to catch up."""
    with tempfile.TemporaryDirectory(prefix="datadragon-bench-") as folder, ExitStack() as stack:
        home, plan = Home(Path(folder)), Plan(ports=free_ports(), round_seconds=ROUND_SECONDS)
        make_fleet(home, plan, genesis=int(time.time()))
        fleet = stack.enter_context(Fleet(home))
        fleet.start_all()
        fleet.wait_ready()
        logs = Logs(fleet, stack)
        for node_id in fleet.committee.keys:
            logs.wait(node_id, 1)
        app = fleet.committee.sequencer.app
        parcels = prepare(fleet, events, seconds, rate)
        flood, begun = Flood(fleet.addresses["sequencer"], app, parcels), time.monotonic()
        flood.start()
        time.sleep(KILL_AFTER_SECONDS)
        fleet.kill(VICTIM)
        certified: list[float] = []
        watcher = threading.Thread(
            target=lambda: certified.append(seconds_until(lambda: is_certified_down(fleet)))
        )
        watcher.start()
        flood.join()
        reached = flood.sent / MEGABYTE / (time.monotonic() - begun)
        index = newest(fleet)
        caught_up = seconds_until(lambda: has_read(fleet, index))
        watcher.join()
        return reached, certified[0] / ROUND_SECONDS, caught_up


def row(name: str, events: int, seconds: float, rate: float) -> tuple[str, ...]:
    reached, rounds, caught_up = measure(events, seconds, rate)
    good = rounds <= GOAL_ROUNDS and caught_up <= GOAL_SECONDS
    goal = f"≤ {GOAL_ROUNDS}, ≤ {GOAL_SECONDS} s: {verdict(good)}"
    return name, f"{reached:.2f}", f"{rounds:.1f}", f"{caught_up:.0f}", goal


def main(*, seconds: float = 60, rate: float = 1) -> None:
    rows = [
        row("9 events in a batch", 9, seconds, rate),
        row("1 event in a batch", 1, seconds, rate),
    ]
    columns = ("flood", "MB/s", "rounds to certified outage", "s to catch up", "goal")
    note = f"Five logs and a sequencer on this machine; rounds of {ROUND_SECONDS} s."
    show(f"A fleet under {seconds:.0f} s of forged events", columns, rows, note)


if __name__ == "__main__":
    arguments = [float(text) for text in sys.argv[1:3]]
    main(**dict(zip(("seconds", "rate"), arguments, strict=False)))
