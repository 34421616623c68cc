"""`dragon log archive`: set a log aside after the network of a fleet was reset."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from dragon.log.archive import archive as archive_log
from dragon.storage.process_lock import ProcessLock
from dragon_aggregator import outbox
from dragon_cli.options import file_argument, json_option
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json
from dragon_operator import journal_file


@click.group()
def log() -> None:
    """Maintain the log file of a service."""


@log.command(short_help="Archive a log, to start that of a refounded committee.")
@file_argument
@json_option
def archive(file: Path, as_json: bool) -> None:
    """Archive the log in FILE, a service's database, and empty FILE for a new committee.

    Stop the service first. An operator's journal of signed claims is archived with its log. The new
    log needs a committee with another id: see `dragon init --refound`.
    """
    with closing(ProcessLock.on_database(file)):
        copy = archive_log(file, [*outbox.ARCHIVE_CLEARS, *journal_file.ARCHIVE_CLEARS])
        journal = journal_file.archive_journal(file)
    if as_json:
        archived = {"file": str(file), "archived": str(copy)}
        print_json({**archived, "journal": str(journal) if journal else None})
        return
    console.print(f"Archived the old log in {plain(str(copy))}.")
    if journal:
        console.print(f"Archived the journal of signed claims in {plain(str(journal))}.")
    console.print(
        f"{plain(str(file))} takes the log of another committee now; `dragon init --refound` "
        "gives this one a new id."
    )
