"""`dragon alerts test`: send a test message to each route."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dragon.errors import NotFound, StepFailed
from dragon.net.http_client import HttpClient
from dragon_cli.alerts import alerts_file, alerts_file_argument, read_checked
from dragon_cli.completions import complete_routes
from dragon_cli.fleet.layout import Home
from dragon_cli.hints import with_hint
from dragon_cli.options import home_option, json_option
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json
from dragon_explorer.alerts.channels import channel
from dragon_explorer.alerts.messages import trial
from dragon_explorer.alerts.routes import Route


@click.command(short_help="Send a test message to each route of the alerts file.")
@alerts_file_argument
@click.option(
    "--route", "chosen", shell_complete=complete_routes, help="Route to try (default: all)."
)
@home_option
@json_option
def test(file: Path | None, chosen: str | None, home: Path, as_json: bool) -> None:
    """Send one test message to each route of FILE, and report whether it was accepted.

    FILE is the fleet's alerts.toml by default. The explorer need not run.
    """
    fleet = Home(home)
    config, committee = read_checked(fleet, alerts_file(fleet, file))
    if chosen is not None and chosen not in config.routes:
        listed = ", ".join(config.routes)
        raise NotFound(f"The alerts file has no route {chosen!a}; it has {listed}.")
    name = committee.name if committee else "test"
    routes = [each for each in config.routes.values() if chosen in {None, each.name}]
    results = {route.name: _try(route, name) for route in routes}
    failed = [route for route, error in results.items() if error]
    if as_json:
        verdict = "undelivered" if failed else "delivered"
        routes_json = {route: error or "delivered" for route, error in results.items()}
        print_json({"verdict": verdict, "routes": routes_json})
        raise SystemExit(bool(failed))
    for route in routes:
        outcome = f"failed: {results[route.name]}" if results[route.name] else "delivered"
        console.print(f"{route.name} ({plain(route.target)}): {plain(outcome)}")
    if failed:
        error = StepFailed(f"The test message was not delivered to {', '.join(failed)}.")
        raise with_hint(error, "Correct the route's URL, or look into the log of the receiver.")


def _try(route: Route, committee_name: str) -> str:
    """Send one message. Return why it was not accepted, or an empty text."""
    made = channel(route, HttpClient.create, time.time)
    return made.send(trial(committee_name, time.time())).error
