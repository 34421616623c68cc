"""`dragon log archive`: start a new log after the network of a fleet was reset."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.log.archive import archive as archive_log
from dragon_aggregator import outbox
from dragon_cli.options import file_argument, json_option
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json
from dragon_operator import journal_file


@click.group()
def log() -> None:
    """Maintain the log file of a service."""


@log.command(short_help="Archive a log and start a new one.")
@file_argument
@json_option
def archive(file: Path, as_json: bool) -> None:
    """Archive the log in FILE, a service's database, and start a new log in it.

    Stop the service first. An operator's journal of signed claims is archived with its log.
    """
    copy = archive_log(file, [*outbox.ARCHIVE_CLEARS, *journal_file.ARCHIVE_CLEARS])
    journal = journal_file.archive_journal(file)
    if as_json:
        archived = {"file": str(file), "archived": str(copy)}
        print_json({**archived, "journal": str(journal) if journal else None})
        return
    console.print(f"Archived the old log in {plain(str(copy))}. {plain(str(file))} is empty now.")
    if journal:
        console.print(f"Archived the journal of signed claims in {plain(str(journal))}.")
