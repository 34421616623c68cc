"""`dragon target add`: have a fleet watch one more address."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.errors import ListedTwice
from dragon.protocol.committee import Committee, Target
from dragon.protocol.founding import Change
from dragon_cli.errors import HoldsAlready
from dragon_cli.fleet import queries
from dragon_cli.fleet.changing import Changer
from dragon_cli.fleet.layout import Home
from dragon_cli.hints import with_hint
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render.changes import print_change, progress


@click.command(short_help="Have a running fleet watch one more address.")
@click.argument("target_id", metavar="ID")
@click.argument("url")
@home_option
@ca_option
@json_option
def add(target_id: str, url: str, home: Path, ca: Path | None, as_json: bool) -> None:
    """Add the target ID at URL: a website, an API or a host without a key.

    Makes the next committee, approves it for all operators of the home, and waits until it holds.
    The address of a known target is changed. A fleet whose keys are on several hosts uses `dragon
    committee assemble --after` and `dragon committee approve`.
    """
    fleet = Home(home)
    before = fleet.committee()
    _check_id(before, target_id, url)
    with progress() as say:
        changer = Changer(fleet, queries.connect(fleet, ca), say)
        after = changer.change(Change(targets=(Target(target_id, url),)))
    print_change(before, after, as_json=as_json)


def _check_id(committee: Committee, target_id: str, url: str) -> None:
    """Raise ListedTwice: a member has this id; HoldsAlready: the target is listed already."""
    if target_id in committee.members:
        message = f"{target_id} is a member of the committee."
        raise with_hint(ListedTwice(message, id=target_id), "Choose another id for the target.")
    if Target(target_id, url) in committee.targets:
        message = f"The committee lists the target {target_id} at {url} already."
        raise with_hint(HoldsAlready(message, id=target_id), "`dragon nodes` shows its status.")
