"""`dragon target remove`: have a fleet watch an address no more."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.errors import UnknownNode
from dragon.protocol.founding import Change
from dragon_cli.completions import complete_targets
from dragon_cli.fleet import queries
from dragon_cli.fleet.changing import Changer
from dragon_cli.fleet.layout import Home
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render.changes import print_change, progress


@click.command(short_help="Have a running fleet watch a target no more.")
@click.argument("target_id", metavar="ID", shell_complete=complete_targets)
@home_option
@ca_option
@json_option
def remove(target_id: str, home: Path, ca: Path | None, as_json: bool) -> None:
    """Remove the target ID: from then on its status is unknown.

    Makes the next committee, approves it for all operators of the home, and waits until it holds.
    An id that is removed never comes back: the same address can be added again under another one.
    """
    fleet = Home(home)
    before = fleet.committee()
    if target_id not in {each.id for each in before.targets}:
        listed = ", ".join(each.id for each in before.targets) or "none"
        message = f"The committee lists no target {target_id}; its targets are: {listed}."
        raise UnknownNode(message, node_id=target_id)
    with progress() as say:
        changer = Changer(fleet, queries.connect(fleet, ca), say)
        after = changer.change(Change(drop=frozenset({target_id})))
    print_change(before, after, as_json=as_json)
