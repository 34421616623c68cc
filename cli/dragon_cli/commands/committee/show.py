"""`dragon committee show`: what a committee file says."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.encoding import to_hex
from dragon.protocol.committee import short_id
from dragon_cli.committee_files import print_committee, read_committee
from dragon_cli.options import file_argument, json_option
from dragon_cli.render.text import print_json


@click.command(short_help="Show a committee file, with the short id to compare by voice.")
@file_argument
@json_option
def show(file: Path, as_json: bool) -> None:
    """Show the committee in FILE, or the newest one of a lineage."""
    committee = read_committee(file)
    if as_json:
        ids = {"id": to_hex(committee.id), "network_id": to_hex(committee.network_id)}
        print_json({**ids, "short_id": short_id(committee.id), "committee": committee.to_json()})
        return
    print_committee(committee)
