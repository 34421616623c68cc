"""`dragon status`: the status of every node in every operator's log, and what is not ready."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Group
from rich.live import Live

from dragon.errors import Unreachable
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.queries import ServiceView, View
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render.output import console
from dragon_cli.render.status import services_table, status_table
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
    """Show every node in every log, and which services are ready."""
    if watching and as_json:
        raise click.UsageError("`--json` prints one document; it cannot be used with `--watch`.")
    if every is not None and not watching:
        raise click.UsageError("`--every` requires `--watch`.")
    committee, http = Home(home).committee(), queries.connect(Home(home), ca)
    fleet = Queried(committee, queries.services(committee, Home(home)), http)
    if watching:
        _watch(fleet, every or REFRESH_SECONDS)
    else:
        _show(fleet, as_json=as_json)


@dataclass(frozen=True, slots=True)
class Queried:
    """The services that are queried."""

    committee: Committee
    services: dict[str, str]  # name → URL; without the operators
    http: HttpClient

    def views(self) -> tuple[list[View], list[ServiceView]]:
        """Query all of them."""
        services = queries.service_views(self.services, self.http)
        return queries.views(self.committee, self.http), services

    def tables(self) -> Group:
        """Query all of them, and show what they answer."""
        return _tables(self.committee, *self.views())


def _tables(committee: Committee, views: list[View], services: list[ServiceView]) -> Group:
    return Group(status_table(committee, views), services_table(services))


def _show(fleet: Queried, *, as_json: bool) -> None:
    """Raises Unreachable: no operator responds."""
    views, services = fleet.views()
    silent = all(view.error for view in views)
    if not as_json:
        console.print(_tables(fleet.committee, views, services))
    elif not silent:
        listed = [_service_as_json(each) for each in services]
        print_json({"operators": [_as_json(view) for view in views], "services": listed})
    if silent:
        reasons = {view.operator: view.error for view in views}
        raise Unreachable("No operator responds.", silent=reasons)


def _watch(fleet: Queried, every: int) -> None:
    """Refresh the tables on a terminal; print new tables each time to a file or pipe."""
    with suppress(KeyboardInterrupt):
        if console.is_terminal:
            _refresh(fleet, every)
        while True:
            console.print(moment(int(time.time())))
            console.print(fleet.tables())
            time.sleep(every)


def _refresh(fleet: Queried, every: int) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(fleet.tables(), refresh=True)
            time.sleep(every)


def _service_as_json(view: ServiceView) -> dict[str, object]:
    if view.error:
        return {"service": view.service, "trouble": view.error}
    reasons = list(view.reasons)
    return {"service": view.service, "ready": not reasons, "reasons": reasons}


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
