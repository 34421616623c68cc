"""`dragon nodes` and `dragon logs`: what one operator says of the nodes, and of its log."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from dragon.encoding import Json
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render.output import console, moment, plain, print_json, styled

operator_option = click.option("--operator", help="Whose; the first that answers by default.")


@click.command()
@home_option
@ca_option
@operator_option
@json_option
def nodes(home: Path, ca: Path | None, operator: str | None, as_json: bool) -> None:
    """Show every node as one operator knows it, and what it sees of it now."""
    asked = queries.operators(Home(home).committee(), operator)
    http = queries.connect(Home(home), ca)
    name, known = queries.first(asked, lambda url: queries.all_nodes(http, url))
    if as_json:
        print_json({"operator": name, "nodes": known})
    else:
        console.print(_nodes_table(name, known))


def _nodes_table(operator: str, known: list[dict[str, Json]]) -> Table:
    table = Table(title=f"nodes, by {operator}", title_justify="left")
    for column in ("node", "kind", "status", "since", "seen now"):
        table.add_column(column)
    for row in known:
        table.add_row(
            plain(str(row.get("node_id"))),
            plain(str(row.get("kind"))),
            styled(str(row.get("status"))),
            moment(row.get("since")),
            _sight(row.get("seen")),
        )
    return table


def _sight(seen: Json) -> str:
    if not isinstance(seen, dict):
        return "–"
    return f"{styled(str(seen.get('status')))}, {plain(str(seen.get('reason')))}"


@click.command()
@home_option
@ca_option
@operator_option
@click.option("--node-id", help="Only this node's events.")
@click.option("--after", type=click.IntRange(0), default=0, help="Only rows behind this id.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--event", type=click.IntRange(0), help="One event whole, with its inclusion proof.")
@json_option
def logs(
    home: Path,
    ca: Path | None,
    operator: str | None,
    node_id: str | None,
    after: int,
    limit: int,
    event: int | None,
    as_json: bool,
) -> None:
    """Show an operator's log of certified events."""
    asked = queries.operators(Home(home).committee(), operator)
    http = queries.connect(Home(home), ca)
    if event is not None:
        print_json(queries.first_get(asked, http, f"/events/{event}")[1])
        return
    filters: dict[str, str | int] = {"after": after, "limit": limit}
    if node_id is not None:
        filters["node_id"] = node_id
    name, page = queries.first_list(asked, http, "logs", **filters)
    if as_json:
        print_json(page)
    else:
        console.print(_logs_table(name, page))


def _logs_table(operator: str, page: dict[str, Json]) -> Table:
    table = Table(title=f"log of {operator}", title_justify="left")
    for column in ("id", "node", "status", "since", "signature"):
        table.add_column(column)
    for row in queries.rows(page, "logs"):
        table.add_row(
            plain(str(row.get("id"))),
            plain(str(row.get("node_id"))),
            styled(str(row.get("status"))),
            moment(row.get("timestamp")),
            plain(str(row.get("signature"))[:18]) + "…",
        )
    return table
