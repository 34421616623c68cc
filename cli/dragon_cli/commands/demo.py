"""`dragon demo`: a demonstration of the whole system on this machine."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from dragon_cli.demo.script import run
from dragon_cli.fleet.create import Plan, Ports
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import interrupt_on_signals
from dragon_cli.options import (
    aggregator_port_option,
    base_port_option,
    explorer_port_option,
    prover_port_option,
    sequencer_port_option,
    stream_port_option,
)
from dragon_cli.render.output import console


@click.command(short_help="Demonstrate certified data, a proven cold chain and a certified outage.")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder in which the fleet is kept (default: a temporary folder).",
)
@base_port_option
@aggregator_port_option
@sequencer_port_option
@prover_port_option
@stream_port_option
@explorer_port_option
@click.option(
    "--round-seconds",
    type=click.IntRange(2, 60),
    default=2,
    show_default=True,
    help="Length of a round in seconds.",
)
def demo(
    home: Path | None,
    base_port: int,
    aggregator_port: int,
    sequencer_port: int,
    prover_port: int,
    stream_port: int,
    explorer_port: int,
    round_seconds: int,
) -> None:
    """Demonstrate the system with real services, signatures and a ledger.

    A file is streamed and certified without any node seeing it. A cold chain is proven to stay
    within bounds, and the day on which it does not has no claim. Then an operator is killed, and
    its outage is certified, shown by the explorer and verified.
    """
    interrupt_on_signals()
    ports = Ports(
        operators=base_port,
        aggregator=aggregator_port,
        sequencer=sequencer_port,
        prover=prover_port,
        streams=stream_port,
        explorer=explorer_port,
    )
    plan = Plan(name="demo", ports=ports, round_seconds=round_seconds)
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="datadragon-") as temporary:
            run(Home(home or Path(temporary)), plan, keeps_home=home is not None)
    except KeyboardInterrupt:
        console.print("\nInterrupted; all services are stopped.")
        raise SystemExit(130) from None
    took = time.monotonic() - begun
    console.print(f"\nDone in {took:.0f} s; all services are stopped.")
