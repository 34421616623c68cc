"""`dragon up`: the fleet on this machine until Ctrl-C, with a live table."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Group
from rich.live import Live

from dragon_cli.commands.status import status_table
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import PROVER, Home
from dragon_cli.fleet.processes import Fleet, interrupt_on_signals
from dragon_cli.options import home_option
from dragon_cli.render.output import console


@click.command()
@home_option
@click.option("--seconds", type=click.IntRange(1), help="Stop by itself after so many seconds.")
def up(home: Path, seconds: int | None) -> None:
    """Start the whole fleet as local processes; makes one first where there is none."""
    interrupt_on_signals()
    fleet_home = Home(home)
    if not fleet_home.committee_file.exists():
        make_fleet(
            fleet_home, Plan(ports=Ports(prover=5200, streams=5300)), genesis=int(time.time())
        )
        console.print(f"made a committee of four in {home}/")
    try:
        with Fleet(fleet_home) as fleet:
            console.print("starting …")
            fleet.start_all()
            if PROVER in fleet.addresses:
                console.print("the prover compiles its kernels when it starts for the first time")
            fleet.wait_ready()
            console.print(f"the fleet is up; its output is in {home}/output, Ctrl-C stops it")
            _watch(fleet, seconds)
    except KeyboardInterrupt:
        console.print("\nstopped")


def _watch(fleet: Fleet, seconds: int | None) -> None:
    ends = time.monotonic() + seconds if seconds else float("inf")
    with Live(console=console, auto_refresh=False) as live:
        while time.monotonic() < ends:
            gone = [name for name in fleet.addresses if not fleet.is_running(name)]
            lines = [f"{name}: {url}" for name, url in fleet.addresses.items()]
            lines += [f"[red]{name} has ended[/]" for name in gone]
            live.update(Group(status_table(fleet.committee, fleet.views()), *lines), refresh=True)
            time.sleep(1)
