"""Run a fleet in the foreground: start its services, restart them, show their status."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Group

from dragon.errors import StepFailed
from dragon_cli.fleet.layout import EXPLORER, Home
from dragon_cli.fleet.processes import COMPILING_NOTE, Fleet, interrupt_on_signals
from dragon_cli.fleet.supervisor import MAX_DEATHS, Supervisor
from dragon_cli.forking import ForkServer
from dragon_cli.render.output import console, plain, rich_console
from dragon_cli.render.status import status_table
from dragon_cli.render.text import moment
from dragon_cli.render.watch import Fitted, live_picture


def run(
    home: Path, seconds: int | None, server: ForkServer | None, on_started: Callable[[], object]
) -> None:
    """Start all services of a fleet, and show their status until Ctrl-C or for some seconds.

    Creates the fleet if the folder holds none.

    Args:
        server: forks the services; None: each is started in the usual way.
        on_started: called when the server is not needed any more.
    """
    interrupt_on_signals()
    fleet_home = Home(home)
    if not fleet_home.committee_file.exists():
        _create(fleet_home)
    try:
        with Fleet(fleet_home) as fleet:
            _start(fleet, server, on_started)
            supervisor = Supervisor(fleet, _say, time.monotonic)
            _watch(fleet, supervisor, seconds)
            _check_all_up(supervisor)
    except KeyboardInterrupt:
        console.print("\nStopped.")


def _create(home: Home) -> None:
    # Imported here because most starts find a fleet.
    from dragon_cli.fleet.create import Plan, Ports, make_fleet  # noqa: PLC0415

    plan = Plan(ports=Ports(prover=5200, streams=5300, explorer=5400))
    make_fleet(home, plan, genesis=int(time.time()))
    console.print(f"Created a committee of {plan.operators} operators in {home.path}/.")


def _start(fleet: Fleet, server: ForkServer | None, on_started: Callable[[], object]) -> None:
    begun = time.monotonic()
    console.print(f"Starting {len(fleet.addresses)} services …")
    if elsewhere := [name for name in fleet.committee.keys if name not in fleet.addresses]:
        console.print(f"Not on this host, because its keystore is not: {', '.join(elsewhere)}.")
    fleet.start_all(server)
    on_started()
    fleet.wait_ready(lambda line: console.print(plain(line)))
    took = time.monotonic() - begun
    output = fleet.home.output("any").parent
    console.print(f"All services ready after {took:.1f} s. Output: {output}/. Ctrl-C stops them.")
    if fleet.compiling():
        console.print(COMPILING_NOTE)
    if EXPLORER in fleet.addresses:
        console.print(f"Open {fleet.addresses[EXPLORER].replace('127.0.0.1', 'localhost')}/")


def _watch(fleet: Fleet, supervisor: Supervisor, seconds: int | None) -> None:
    ends = time.monotonic() + seconds if seconds else float("inf")
    with live_picture() as live:
        while time.monotonic() < ends:
            supervisor.step()
            fleet.refresh()
            # Without a terminal only the last picture is seen: until then no service is asked.
            if rich_console().is_terminal:
                live.update(Fitted(_picture(fleet)), refresh=True)
            time.sleep(1)
        live.update(Fitted(_picture(fleet)), refresh=True)


def _picture(fleet: Fleet) -> Group:
    ended = [name for name in fleet.addresses if not fleet.is_running(name)]
    lines = [f"{name}: {url}" for name, url in fleet.addresses.items()]
    lines += [f"[red]{name} has ended[/]" for name in ended]
    return Group(status_table(fleet.committee, fleet.views(), int(time.time())), *lines)


def _say(line: str) -> None:
    """Print a line with its time; on a terminal above the table."""
    console.print(f"[red]{moment(int(time.time()))}: {plain(line)}[/]")


def _check_all_up(supervisor: Supervisor) -> None:
    """Raises StepFailed: a service has died too often."""
    if names := supervisor.given_up:
        message = f"{', '.join(names)} died {MAX_DEATHS} times in a row, and stayed down."
        raise StepFailed(message)
