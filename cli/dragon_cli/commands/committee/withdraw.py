"""`dragon committee withdraw`: take back the approval of the next committee."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dragon_cli.fleet import approving, own_operators
from dragon_cli.fleet.layout import Home
from dragon_cli.options import all_option, home_option, json_option, own_operator_option
from dragon_cli.render.output import console
from dragon_cli.render.text import print_json


@click.command(short_help="Take back the approval of the next committee.")
@home_option
@own_operator_option
@all_option
@json_option
def withdraw(home: Path, operator_id: str | None, all_: bool, as_json: bool) -> None:
    """Take back what `dragon committee approve` has approved on this host.

    The operator signs for it no more. A signature that it has given already can still be used until
    log time is later than its round by the maximum age of an event: 60 seconds, or twelve rounds.
    """
    if all_:
        chosen = own_operators.all_of(Home(home))
    else:
        chosen = [own_operators.chosen(Home(home), os.environ, operator_id)]
    removed = {each.id: approving.withdraw(each) is not None for each in chosen}
    if as_json:
        print_json({"withdrawn": [name for name, was in removed.items() if was]})
        return
    for name, was in removed.items():
        console.print(f"{name}: {'approval withdrawn' if was else 'nothing was approved'}.")
