"""`dragon up`: run a fleet on this machine and show its status."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from dragon_cli.forking import fork_server
from dragon_cli.options import home_option


@click.command(short_help="Run a fleet on this machine and show its status.")
@home_option
@click.option("--seconds", type=click.IntRange(1), help="Stop after this many seconds.")
def up(home: Path, seconds: int | None) -> None:
    """Start all services of a fleet as local processes and show their status until Ctrl-C.

    A service that dies is restarted; after five deaths in a row it stays down. Creates a fleet
    with four operators if the folder holds none.
    """
    with ExitStack() as starting:
        server = starting.enter_context(fork_server())
        # Imported here: meanwhile, the other process imports the services.
        from dragon_cli.fleet.foreground import run  # noqa: PLC0415

        run(home, seconds, server, starting.close)
