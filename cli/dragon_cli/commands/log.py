"""`dragon log archive`: the way out of an alarm about a network that was reset."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.log.archive import archive as archive_log
from dragon_aggregator import outbox
from dragon_cli.options import file_argument, json_option
from dragon_cli.render.output import console, plain, print_json
from dragon_operator import journal


@click.group("log")
def log() -> None:
    """Look after a service's log file."""


@log.command()
@file_argument
@json_option
def archive(file: Path, as_json: bool) -> None:
    """Set the log in FILE aside and begin anew; its service must be stopped. Keeps the journal."""
    copy = archive_log(file, [*outbox.ARCHIVE_CLEARS, *journal.ARCHIVE_CLEARS])
    if as_json:
        print_json({"file": str(file), "archived": str(copy)})
        return
    old, new = plain(str(copy)), plain(str(file))
    console.print(f"the old log is in {old}; the one in {new} begins anew")
