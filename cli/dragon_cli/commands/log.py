"""`dragon log archive`: set a log aside after the network of a fleet was reset."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from dragon.log.archive import archive as archive_log
from dragon.storage.process_lock import ProcessLock
from dragon_aggregator import outbox
from dragon_cli.fleet.layout import load_committee
from dragon_cli.options import EXISTING_FILE, file_argument, json_option
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json
from dragon_operator import journal_file


@click.group()
def log() -> None:
    """Maintain the log file of a service."""


@log.command(short_help="Archive a log, to start that of a refounded committee.")
@file_argument
@click.option(
    "--refounded",
    type=EXISTING_FILE,
    help="Committee file of the new network; needed for a log that has applied a handover.",
)
@json_option
def archive(file: Path, refounded: Path | None, as_json: bool) -> None:
    """Archive the log in FILE, a service's database, and empty FILE for a new committee.

    Stop the service first. An operator's journal of signed claims is archived with its log. The new
    log needs a committee with another id: see `dragon init --refound`. If the committee has changed
    since the network began, the new network is founded first.
    """
    network = load_committee(refounded).network_id if refounded else None
    with closing(ProcessLock.on_database(file)):
        tables = [*outbox.ARCHIVE_CLEARS, *journal_file.ARCHIVE_CLEARS]
        copy = archive_log(file, tables, refounded=network)
        journal = journal_file.archive_journal(file)
    if as_json:
        archived = {"file": str(file), "archived": str(copy)}
        print_json({**archived, "journal": str(journal) if journal else None})
        return
    console.print(f"Archived the old log in {plain(str(copy))}.")
    if journal:
        console.print(f"Archived the journal of signed claims in {plain(str(journal))}.")
    others = f"{plain(str(file))} takes the log of another committee now"
    if refounded:
        console.print(f"{others}.")
    else:
        console.print(f"{others}; `dragon init --refound` gives this one a new id.")
