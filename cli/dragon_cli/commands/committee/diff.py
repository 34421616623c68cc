"""`dragon committee diff`: what differs between two committees."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.encoding import to_hex
from dragon.protocol.committee import short_id
from dragon.protocol.differences import differences
from dragon_cli.committee_files import read_committee
from dragon_cli.options import EXISTING_FILE, json_option
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json


@click.command(short_help="Show what differs between two committee files.")
@click.argument("before", type=EXISTING_FILE)
@click.argument("after", type=EXISTING_FILE)
@json_option
def diff(before: Path, after: Path, as_json: bool) -> None:
    """Show what somebody agrees to who agrees to AFTER in the place of BEFORE."""
    one, other = read_committee(before), read_committee(after)
    found = differences(one, other)
    if as_json:
        ids = {"before": to_hex(one.id), "after": to_hex(other.id)}
        print_json({**ids, "differences": [each.to_json() for each in found]})
        return
    for each in found:
        console.print(plain(each.sentence))
    if not found:
        console.print("No difference." if one.id == other.id else "Only the epoch differs.")
    console.print(f"Short id before: {short_id(one.id)}", highlight=False)
    console.print(f"Short id after:  {short_id(other.id)}", highlight=False)
