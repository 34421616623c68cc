"""`dragon logs`: an operator's log of certified events."""

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


@click.command()
@home_option
@ca_option
@operator_option
@click.option("--node-id", help="Show the events of this node only.")
@click.option(
    "--after",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Show rows with a higher id only.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=100,
    show_default=True,
    help="Maximum number of rows.",
)
@click.option(
    "--event",
    type=click.IntRange(0),
    help="Print the event at this position, with its inclusion proof, as JSON.",
)
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
    """Show an operator's log of certified status events."""
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
        console.print(logs_table(name, page))


def logs_table(operator: str, page: dict[str, Json]) -> Table:
    """Return the table of one page of a log."""
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
