"""`dragon status`: the status of every node in every operator's log, and what is not ready."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Group

from dragon.errors import Unreachable
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee
from dragon_cli.fleet import queries
from dragon_cli.fleet.certifying import Certifying, certifying
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.queries import ServiceView, View
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render.output import console
from dragon_cli.render.status import certifying_lines, services_lines, status_table
from dragon_cli.render.text import print_json
from dragon_cli.render.watch import check_watch, refresh, watch_options


@click.command(short_help="Show all nodes, logs and services, and whether they certify.")
@home_option
@ca_option
@watch_options("Refresh until interrupted.")
@json_option
def status(home: Path, ca: Path | None, watching: bool, every: int | None, as_json: bool) -> None:
    """Show every node, how many logs agree, and which services are ready.

    The exit code is 1 if nothing is certified now, although services may answer. A stream service
    or an explorer that is not ready is named and does not change it: they certify nothing.
    """
    seconds = check_watch(watching=watching, every=every, as_json=as_json)
    committee, http = Home(home).committee(), queries.connect(Home(home), ca)
    fleet = Queried(committee, queries.services(committee, Home(home)), http)
    if watching:
        refresh(fleet.tables, seconds)
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
    found = certifying(committee, views, services)
    return Group(status_table(committee, views), services_lines(services), certifying_lines(found))


def _show(fleet: Queried, *, as_json: bool) -> None:
    """Raises Unreachable: no operator responds. Exit: nothing is certified."""
    views, services = fleet.views()
    silent = all(view.error for view in views)
    found = certifying(fleet.committee, views, services)
    if not as_json:
        console.print(_tables(fleet.committee, views, services))
    elif not silent:
        print_json(_document(views, services, found))
    if silent:
        reasons = {view.operator: view.error for view in views}
        raise Unreachable("No operator responds.", silent=reasons)
    if found.faults:
        raise click.exceptions.Exit(1)


def _document(
    views: list[View], services: list[ServiceView], found: Certifying
) -> dict[str, object]:
    return {
        "certifying": not found.faults,
        "faults": list(found.faults),
        "checkpoint_age_seconds": found.checkpoint_age,
        "round_age_seconds": found.round_age,
        "operators": [_as_json(view) for view in views],
        "services": [_service_as_json(each) for each in services],
    }


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
