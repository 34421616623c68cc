"""`dragon status`: the status of every node in every operator's log."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import click
from rich.live import Live

from dragon.errors import Unreachable
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.queries import View
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render.output import console
from dragon_cli.render.status import status_table
from dragon_cli.render.text import moment, print_json

REFRESH_SECONDS: Final = 2


@click.command()
@home_option
@ca_option
@click.option("--watch", "watching", is_flag=True, help="Refresh until interrupted.")
@click.option(
    "--every",
    type=click.IntRange(1, 3600),
    help=f"Seconds between refreshes (default: {REFRESH_SECONDS}).",
)
@json_option
def status(home: Path, ca: Path | None, watching: bool, every: int | None, as_json: bool) -> None:
    """Show the status of every node in every operator's log."""
    if watching and as_json:
        raise click.UsageError("`--json` prints one document; it cannot be used with `--watch`.")
    if every is not None and not watching:
        raise click.UsageError("`--every` requires `--watch`.")
    committee, http = Home(home).committee(), queries.connect(Home(home), ca)
    if watching:
        _watch(committee, http, every or REFRESH_SECONDS)
    else:
        _show(committee, queries.views(committee, http), as_json=as_json)


def _show(committee: Committee, views: list[View], *, as_json: bool) -> None:
    """Raises Unreachable: no operator responds."""
    silent = all(view.error for view in views)
    if not as_json:
        console.print(status_table(committee, views))
    elif not silent:
        print_json({"operators": [_as_json(view) for view in views]})
    if silent:
        reasons = {view.operator: view.error for view in views}
        raise Unreachable("No operator responds.", silent=reasons)


def _watch(committee: Committee, http: HttpClient, every: int) -> None:
    """Refresh one table on a terminal; print a new table each time to a file or pipe."""
    with suppress(KeyboardInterrupt):
        if console.is_terminal:
            _refresh(committee, http, every)
        while True:
            console.print(moment(int(time.time())))
            console.print(status_table(committee, queries.views(committee, http)))
            time.sleep(every)


def _refresh(committee: Committee, http: HttpClient, every: int) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(status_table(committee, queries.views(committee, http)), refresh=True)
            time.sleep(every)


def _as_json(view: View) -> dict[str, object]:
    if view.error:
        return {"operator": view.operator, "trouble": view.error}
    return {
        "operator": view.operator,
        "ready": not view.reasons,
        "reasons": list(view.reasons),
        "size": view.size,
        "root": view.root,
        "nodes": list(view.nodes.values()),
    }
