"""`dragon log archive`: the way out of an alarm about a network that was reset."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.cli.output import console
from dragon.log.archive import archive as archive_log


@click.group("log")
def log() -> None:
    """Look after a service's log file."""


@log.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def archive(file: Path) -> None:
    """Set the log in FILE aside and begin anew; its service must be stopped. Keeps the journal."""
    copy = archive_log(file)
    console.print(f"the old log is in {copy}; the one in {file} begins anew")
