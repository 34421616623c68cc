"""`dragon target list`: the targets that the committee lists."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from rich.table import Table

from dragon.protocol import target_words
from dragon.protocol.committee import Target
from dragon.protocol.committee_file import encode_target
from dragon_cli.fleet import current, queries
from dragon_cli.fleet.layout import Home
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json


@click.command(short_help="List the targets, and what counts as up for each.")
@home_option
@ca_option
@json_option
def list_(home: Path, ca: Path | None, as_json: bool) -> None:
    """List the targets of the committee that holds now, and what counts as up for each."""
    committee = current.committee(Home(home), queries.connect(Home(home), ca))
    if as_json:
        targets = [encode_target(each) for each in committee.targets]
        print_json({"epoch": committee.epoch, "targets": targets})
    elif committee.targets:
        console.print(_table(committee.targets))
    else:
        console.print("The committee lists no target; `dragon target add` adds one.")


def _table(targets: Iterable[Target]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("target", "url", "check", "owner"):
        table.add_column(column, overflow="fold")
    for each in targets:
        private = " [yellow](private addresses allowed)[/]" if each.private_addresses else ""
        place = plain(each.url or "–") + private
        table.add_row(each.id, place, plain(target_words.check(each.check)), each.owner or "–")
    return table
