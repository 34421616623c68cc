"""`dragon status`: the status of every node in every operator's log, and what is not ready."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Group

from dragon.errors import Unreachable
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee
from dragon_cli.fleet import approvals, current, queries
from dragon_cli.fleet.certifying import Certifying, certifying
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.queries import ServiceView, View
from dragon_cli.fleet.standing import Standing
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render.output import console
from dragon_cli.render.status import (
    certifying_lines,
    services_lines,
    standing_line,
    status_table,
)
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
    or an explorer that is not ready is named and does not change it: they certify nothing. One
    that is `degraded` does its work in spite of a fault, which is named.
    """
    seconds = check_watch(watching=watching, every=every, as_json=as_json)
    http = queries.connect(Home(home), ca)
    committee = current.committee(Home(home), http)
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

    def answers(self) -> Answers:
        """Query all of them."""
        services = queries.service_views(self.services, self.http)
        views = queries.views(self.committee, self.http)
        said = approvals.ask(self.http, queries.operators(self.committee, None))
        return Answers(self.committee, views, services, Standing.of(self.committee, said))

    def tables(self) -> Group:
        """Query all of them, and show what they answer."""
        return self.answers().tables()


@dataclass(frozen=True, slots=True)
class Answers:
    """What the services of a fleet answer."""

    committee: Committee
    views: list[View]
    services: list[ServiceView]
    standing: Standing

    @property
    def certifying(self) -> Certifying:
        return certifying(self.committee, self.views, self.services)

    def tables(self) -> Group:
        return Group(
            status_table(self.committee, self.views, int(time.time())),
            standing_line(self.committee, self.standing),
            services_lines(self.services),
            certifying_lines(self.certifying),
        )


def _show(fleet: Queried, *, as_json: bool) -> None:
    """Raises Unreachable: no operator responds. Exit: nothing is certified."""
    answers = fleet.answers()
    silent = all(view.error for view in answers.views)
    if not as_json:
        console.print(answers.tables())
    elif not silent:
        print_json(_document(answers))
    if silent:
        reasons = {view.operator: view.error for view in answers.views}
        raise Unreachable("No operator responds.", silent=reasons)
    if answers.certifying.faults:
        raise click.exceptions.Exit(1)


def _document(answers: Answers) -> dict[str, object]:
    found = answers.certifying
    return {
        "certifying": not found.faults,
        "faults": list(found.faults),
        "checkpoint_age_seconds": found.checkpoint_age,
        "round_age_seconds": found.round_age,
        "committee": answers.standing.to_json(),
        "operators": [_as_json(view) for view in answers.views],
        "services": [_service_as_json(each) for each in answers.services],
    }


def _service_as_json(view: ServiceView) -> dict[str, object]:
    if view.error:
        return {"service": view.service, "trouble": view.error}
    return {
        "service": view.service,
        "ready": not view.reasons,
        "reasons": list(view.reasons),
        "degraded": list(view.degraded),
    }


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
