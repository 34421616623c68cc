"""`dragon committee show`: what a committee file says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from dragon.encoding import to_hex
from dragon.protocol.committee import Committee, short_id
from dragon_cli.committee_files import print_committee, read_committee
from dragon_cli.fleet import approvals, queries
from dragon_cli.fleet.layout import Home
from dragon_cli.options import EXISTING_FILE, ca_option, home_option, json_option
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json


@click.command(short_help="Show a committee file, with the short id to compare by voice.")
@click.argument("file", type=EXISTING_FILE, required=False)
@home_option
@ca_option
@click.option(
    "--live", is_flag=True, help="Ask the operators which committee holds, and who has approved."
)
@json_option
def show(file: Path | None, home: Path, ca: Path | None, live: bool, as_json: bool) -> None:
    """Show the committee in FILE, or the newest one of a lineage (default: that of the home).

    What the operators answer to `--live` is not verified.
    """
    fleet = Home(home)
    committee = read_committee(file) if file else fleet.committee()
    said = None
    if live:
        http = queries.connect(fleet, ca)
        said = approvals.ask(http, queries.operators(committee, None))
        said += approvals.ask(http, approvals.newcomers(http, said, committee))
    if as_json:
        ids = {"id": to_hex(committee.id), "network_id": to_hex(committee.network_id)}
        found = {**ids, "short_id": short_id(committee.id), "committee": committee.to_json()}
        print_json({**found, **({"operators": [asdict(each) for each in said]} if said else {})})
        return
    if said is None:
        print_committee(committee)
    else:
        _print_live(committee, said)


def _print_live(committee: Committee, said: list[approvals.Said]) -> None:
    table = Table(title="What the operators say", title_justify="left")
    for column in ("operator", "epoch", "committee that holds", "approved as the next one"):
        table.add_column(column)
    for each in said:
        if each.error:
            table.add_row(each.operator, "–", f"[red]{plain(each.error)}[/]", "–")
            continue
        approved = plain(approvals.short(each.approved)) if each.approved else "–"
        row = (str(each.epoch), plain(approvals.short(each.committee)), approved)
        table.add_row(each.operator, *row)
    console.print(table)
    needed, of = committee.quorum("handover"), len(committee.operators)
    for named, number in approvals.tally(said, committee):
        short = approvals.short(named)
        console.print(f"{number} of {of} have approved {short}; {needed} are needed.")
    joining = [each for each in said if each.operator not in committee.keys]
    if waiting := [each.operator for each in joining if not (each.approved or each.error)]:
        console.print(f"To join, and must approve too: {', '.join(map(plain, waiting))}.")
    if silent := [each.operator for each in joining if each.error]:
        console.print(f"To join, and does not answer: {', '.join(map(plain, silent))}.")
    later = [each.epoch for each in said if each.epoch is not None and each.epoch > committee.epoch]
    if later:
        console.print(
            f"The operators are in epoch {max(later)}, and the file is of epoch "
            f"{committee.epoch}: `dragon committee update` extends it."
        )
