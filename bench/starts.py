"""What a user waits for at a prompt: a fleet until it is ready, and commands that end at once.

`dragon up` is measured from its start until it says that all services are ready, with kernels that
are compiled already, in elapsed time. The commands are measured in processor time; they verify what
that fleet has certified. The reference is the interpreter alone, which ends at once.

    python bench/starts.py

Goals: `dragon up` within 4 s on two cores, `dragon verify` within 0.15 s, `dragon ziggy sign`
within 0.5 s.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dragon.net.http_client import HttpClient
from dragon.net.session import make_session
from dragon.protocol.committee import Committee
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from fixtures import free_block
from timing import show, verdict

DRAGON: Final = (sys.executable, "-c", "from dragon_cli.start import main; main()")
READY: Final = "All services ready"
LIMIT_SECONDS: Final = 120.0
GOAL_UP, GOAL_VERIFY, GOAL_SIGN = 4.0, 0.15, 0.5  # seconds


@contextmanager
def running(home: Path) -> Iterator[float]:
    """Run `dragon up`, and yield the seconds until it was ready. Raises SystemExit: never."""
    begun = time.monotonic()
    arguments = [*DRAGON, "up", "--home", str(home)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            if not any(READY in line for line in process.stdout or ()):
                raise SystemExit("`dragon up` ended before its services were ready")
            yield time.monotonic() - begun
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LIMIT_SECONDS)


def make_home(home: Home) -> Committee:
    """Create a fleet of eight services; its operators keep rounds of two seconds."""
    base = free_block(80)
    ports = Ports(base, base + 40, base + 50, prover=base + 60, streams=base + 70)
    return make_fleet(home, Plan(ports=ports, round_seconds=2), genesis=int(time.time()))


def save_event(committee: Committee, path: Path) -> None:
    """Save the first event of an operator's log. Raises SystemExit: there is none."""
    http, url = HttpClient(make_session()), committee.operators[0].url
    ends = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < ends:
        answer = http.get(f"{url}/events/0", deadline=5)
        if answer.status == 200:
            path.write_bytes(answer.body)
            return
        time.sleep(0.2)
    raise SystemExit("the fleet has certified nothing")


def save_log(home: Home, path: Path) -> None:
    """Copy an operator's log; no service is running."""
    shutil.copy(next(home.path.rglob("operator.db")), path)


def processor(arguments: Sequence[str]) -> float:
    """Processor time of a program, in seconds. Raises CalledProcessError: it failed."""
    before = os.times()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def commands(home: Home, event: Path, log: Path, keys: Path) -> dict[str, list[str]]:
    committee = ["--committee", str(home.committee_file)]
    private, public = keys / "ziggy_private_input.json", keys / "ziggy_public_input.json"
    sign = ["--private", str(private), "--public", str(public)]
    return {
        "verify certificate": [*DRAGON, "verify", "certificate", str(event), *committee],
        "verify log": [*DRAGON, "verify", "log", str(log), *committee],
        "ziggy sign": [*DRAGON, "ziggy", "sign", *sign, "--output", str(keys / "proof.json")],
        "--version": [*DRAGON, "--version"],
    }


def main(ups: int = 3, repetitions: int = 7) -> None:
    with tempfile.TemporaryDirectory(prefix="starts-", dir=Path(__file__).parent) as name:
        folder = Path(name)
        event, log, keys = folder / "event.json", folder / "operator.db", folder / "keys"
        made = Home(folder / "fleet")
        committee = make_home(made)
        with running(made.path):  # kernels are compiled, and something is certified
            save_event(committee, event)
        times = []
        for _ in range(ups):
            with running(made.path) as took:
                times.append(took)
        save_log(made, log)
        processor([*DRAGON, "ziggy", "keygen", "--output-dir", str(keys)])
        found = measure(commands(made, event, log, keys), keys, repetitions)
    up = statistics.median(times)
    goal = f"≤ {GOAL_UP:.0f}: {verdict(up <= GOAL_UP)}"
    note = f"Median of {ups} starts, kernels compiled, elapsed time."
    show(
        "A fleet until it is ready",
        ("command", "seconds", "goal"),
        [("up", f"{up:.1f}", goal)],
        note,
    )
    show_commands(found, repetitions)


def measure(wanted: dict[str, list[str]], keys: Path, repetitions: int) -> dict[str, float]:
    """Median processor time of each command and of the interpreter alone, by turns."""
    bare = {"bare interpreter": [sys.executable, "-c", "pass"]}
    times: dict[str, list[float]] = {name: [] for name in bare | wanted}
    for turn in range(repetitions + 1):
        for name, arguments in (bare | wanted).items():
            (keys / "proof.json").unlink(missing_ok=True)
            took = processor(arguments)
            if turn:  # the first run fills caches
                times[name].append(took)
    return {name: statistics.median(each) for name, each in times.items()}


def show_commands(found: dict[str, float], repetitions: int) -> None:
    goals = {"verify certificate": GOAL_VERIFY, "verify log": GOAL_VERIFY, "ziggy sign": GOAL_SIGN}
    rows = []
    for name, took in found.items():
        limit = goals.get(name)
        goal = "" if limit is None else f"≤ {limit}: {verdict(took <= limit)}"
        rows.append((name, f"{took:.2f}", goal))
    note = f"Medians of {repetitions} runs by turns, processor time."
    show("A command until it ends", ("dragon …", "seconds", "goal"), rows, note)


if __name__ == "__main__":
    main()
