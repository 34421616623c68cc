"""`dragon status`: every node, by every operator's log; once, or until Ctrl-C."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import click
from rich.live import Live
from rich.table import Table

from dragon.errors import Unreachable
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.queries import View
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render.output import console, moment, plain, print_json, styled


def status_table(committee: Committee, views: list[View]) -> Table:
    """Nodes down, operators across: each column is one operator's own log."""
    title = f"committee {plain(committee.name)}, by the log of each operator"
    table = Table(title=title, title_justify="left")
    table.add_column("node")
    for seen in views:
        table.add_column(seen.operator, overflow="fold")
    for node_id in committee.urls:
        cells = ("–" if seen.trouble else styled(seen.status(node_id)) for seen in views)
        table.add_row(node_id, *cells)
    table.add_section()
    table.add_row("size", *("–" if seen.trouble else str(seen.size) for seen in views))
    roots = ("–" if seen.trouble else plain(seen.root[:10]) + "…" for seen in views)
    table.add_row("root", *roots)
    table.add_row("", *(_readiness(seen) for seen in views))
    return table


def _readiness(seen: View) -> str:
    if seen.trouble:
        return f"[red]{plain(seen.trouble)}[/]"
    return plain("; ".join(seen.reasons)) or "ready"


@click.command()
@home_option
@ca_option
@click.option("--watch", "watching", is_flag=True, help="Again and again, until Ctrl-C.")
@click.option("--every", type=click.IntRange(1, 3600), help="Seconds between; 2 by default.")
@json_option
def status(home: Path, ca: Path | None, watching: bool, every: int | None, as_json: bool) -> None:
    """Show every node's status, by every operator's log."""
    if watching and as_json:
        raise click.UsageError("`--json` prints one document, `--watch` has no end")
    if every is not None and not watching:
        raise click.UsageError("`--every` goes with `--watch`")
    committee, http = Home(home).committee(), queries.connect(Home(home), ca)
    if watching:
        watch(committee, http, every or 2)
    else:
        show(committee, queries.views(committee, http), as_json=as_json)


def show(committee: Committee, views: list[View], *, as_json: bool) -> None:
    """Raises Unreachable: not one operator answers."""
    nobody = all(seen.trouble for seen in views)
    if not as_json:
        console.print(status_table(committee, views))
    elif not nobody:
        print_json({"operators": [_as_json(seen) for seen in views]})
    if nobody:
        silent = {seen.operator: seen.trouble for seen in views}
        raise Unreachable("no operator answers", silent=silent)


def watch(committee: Committee, http: HttpClient, every: int) -> None:
    """A table that renews itself; one table after another where the output is no terminal."""
    with suppress(KeyboardInterrupt):
        if console.is_terminal:
            _renew(committee, http, every)
        while True:
            console.print(moment(int(time.time())))
            console.print(status_table(committee, queries.views(committee, http)))
            time.sleep(every)


def _renew(committee: Committee, http: HttpClient, every: int) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(status_table(committee, queries.views(committee, http)), refresh=True)
            time.sleep(every)


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
