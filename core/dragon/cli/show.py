"""`dragon status` and `dragon logs`: what a fleet says of itself."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from dragon.cli import reading
from dragon.cli.home import Home
from dragon.cli.output import console, moment, plain, print_json, styled
from dragon.cli.reading import View
from dragon.clients.exchange import Http
from dragon.clients.session import make_session
from dragon.committee import Committee
from dragon.encoding import Json
from dragon.errors import NotFound

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default="fleet",
    show_default=True,
    help="The fleet's folder.",
)


def status_table(committee: Committee, views: list[View]) -> Table:
    """Nodes down, operators across: each column is one operator's own log."""
    title = f"committee {plain(committee.name)}, by the log of each operator"
    table = Table(title=title, title_justify="left")
    table.add_column("node")
    for seen in views:
        table.add_column(seen.operator)
    for node_id in committee.urls:
        cells = ("–" if seen.trouble else styled(seen.status(node_id)) for seen in views)
        table.add_row(node_id, *cells)
    table.add_section()
    table.add_row("size", *("–" if seen.trouble else str(seen.size) for seen in views))
    roots = ("–" if seen.trouble else plain(seen.root[:14]) + "…" for seen in views)
    table.add_row("root", *roots)
    table.add_row("", *(_readiness(seen) for seen in views))
    return table


def _readiness(seen: View) -> str:
    if seen.trouble:
        return f"[red]{plain(seen.trouble)}[/]"
    return plain("; ".join(seen.reasons)) or "ready"


@click.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(home: Path, as_json: bool) -> None:
    """Show every node's status, by every operator's log."""
    committee, http = Home(home).committee(), Http(make_session())
    views = [reading.view(committee, operator, http) for operator in committee.keys]
    if as_json:
        print_json({"operators": [_as_json(seen) for seen in views]})
    else:
        console.print(status_table(committee, views))
    if all(seen.trouble for seen in views):
        click.echo("dragon: no operator answers; is the fleet up?", err=True)
        raise click.exceptions.Exit(1)


def _as_json(seen: View) -> dict[str, object]:
    if seen.trouble:
        return {"operator": seen.operator, "trouble": seen.trouble}
    return {
        "operator": seen.operator,
        "ready": not seen.reasons,
        "reasons": list(seen.reasons),
        "size": seen.size,
        "root": seen.root,
        "nodes": list(seen.nodes.values()),
    }


@click.command()
@home_option
@click.option("--operator", help="Whose log; the first operator's by default.")
@click.option("--node-id", help="Only this node's events.")
@click.option("--after", type=click.IntRange(0), default=0, help="Only rows behind this id.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--event", type=click.IntRange(0), help="One event whole, with its inclusion proof.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def logs(
    home: Path,
    operator: str | None,
    node_id: str | None,
    after: int,
    limit: int,
    event: int | None,
    as_json: bool,
) -> None:
    """Show an operator's log of certified events."""
    committee, http = Home(home).committee(), Http(make_session())
    chosen = operator or committee.operators[0].id
    if chosen not in committee.keys:
        raise NotFound(f"the committee lists no operator {chosen}")
    url = committee.urls[chosen]
    if event is not None:
        print_json(reading.get(http, f"{url}/events/{event}"))
        return
    filters: dict[str, str | int] = {"after": after, "limit": limit}
    if node_id is not None:
        filters["node_id"] = node_id
    page = reading.get(http, f"{url}/logs", **filters)
    if as_json:
        print_json(page)
    else:
        console.print(_logs_table(chosen, page))


def _logs_table(operator: str, page: dict[str, Json]) -> Table:
    table = Table(title=f"log of {operator}", title_justify="left")
    for column in ("id", "node", "status", "since", "signature"):
        table.add_column(column)
    rows = page.get("logs")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict):
            at, signature = row.get("timestamp"), str(row.get("signature"))
            table.add_row(
                plain(str(row.get("id"))),
                plain(str(row.get("node_id"))),
                styled(str(row.get("status"))),
                moment(at if isinstance(at, int) else None),
                plain(signature[:18]) + "…",
            )
    return table
