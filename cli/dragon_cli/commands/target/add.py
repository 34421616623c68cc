"""`dragon target add`: have a fleet watch one more address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dragon.errors import ListedTwice
from dragon.protocol.committee import Committee, Target
from dragon.protocol.founding import Change
from dragon_cli import target_options
from dragon_cli.errors import HoldsAlready
from dragon_cli.fleet import queries
from dragon_cli.fleet.changing import Changer
from dragon_cli.fleet.layout import Home
from dragon_cli.hints import with_hint
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render.changes import print_change, progress


@click.command(short_help="Have a running fleet watch one more address.")
@click.argument("target_id", metavar="ID")
@click.argument("url", required=False)
@target_options.target_options
@home_option
@ca_option
@json_option
def add(
    target_id: str, url: str | None, home: Path, ca: Path | None, as_json: bool, **check: Any
) -> None:
    """Add the target ID at URL: a website, an API or a host without a key.

    Without options it is up if URL answers with a status from 200 to 299. Redirects are not
    followed then. `dragon target try` looks once from here, with the same options.

    Makes the next committee, approves it for all operators of the home, and waits until it holds.
    A known target is replaced as a whole: options that are omitted get their defaults, and the
    command prints what has changed. A fleet whose keys are on several hosts uses `dragon committee
    assemble --after` and `dragon committee approve`.
    """
    fleet = Home(home)
    before = fleet.committee()
    entry = target_options.entry(target_id, url, check)
    target = target_options.decode(entry, before.rounds.seconds)
    _check_id(before, target)
    with progress() as say:
        changer = Changer(fleet, queries.connect(fleet, ca), say)
        after = changer.change(Change(targets=(target,)))
    print_change(before, after, as_json=as_json)


def _check_id(committee: Committee, target: Target) -> None:
    """Raise ListedTwice: a member has this id; HoldsAlready: the target is listed already."""
    if target.id in committee.members:
        message = f"{target.id} is a member of the committee."
        raise with_hint(ListedTwice(message, id=target.id), "Choose another id for the target.")
    if target in committee.targets:
        place = f" at {target.url}" if target.url else ""
        message = f"The committee lists the target {target.id}{place} already, with this check."
        raise with_hint(HoldsAlready(message, id=target.id), "`dragon nodes` shows its status.")
