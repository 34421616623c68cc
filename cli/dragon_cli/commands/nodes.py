"""`dragon nodes`: the nodes that an operator watches."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from dragon.encoding import Json
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home
from dragon_cli.options import ca_option, home_option, json_option, operator_option
from dragon_cli.render.output import console, plain, styled
from dragon_cli.render.text import moment, print_json


@click.command(short_help="List all nodes and their status.")
@home_option
@ca_option
@operator_option
@json_option
def nodes(home: Path, ca: Path | None, operator: str | None, as_json: bool) -> None:
    """List all nodes: certified status, and one operator's latest probe."""
    asked = queries.operators(Home(home).committee(), operator)
    http = queries.connect(Home(home), ca)
    name, found = queries.first(asked, lambda url: queries.all_nodes(http, url))
    if as_json:
        print_json({"operator": name, "nodes": found})
    else:
        console.print(_table(name, found))


def _table(operator: str, found: list[dict[str, Json]]) -> Table:
    table = Table(title=f"nodes according to {operator}", title_justify="left")
    for column in ("node", "kind", "status", "since", "latest probe"):
        table.add_column(column)
    for row in found:
        table.add_row(
            plain(str(row.get("node_id"))),
            plain(str(row.get("kind"))),
            styled(str(row.get("status"))),
            moment(row.get("since")),
            _probe(row.get("seen")),
        )
    return table


def _probe(seen: Json) -> str:
    if not isinstance(seen, dict):
        return "–"
    return f"{styled(str(seen.get('status')))}, {plain(str(seen.get('reason')))}"
