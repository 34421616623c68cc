"""`dragon alerts check`: find every mistake in the alerts file."""

from __future__ import annotations

from pathlib import Path

import click

from dragon_cli.alerts import alerts_file, alerts_file_argument, read_checked
from dragon_cli.fleet.layout import Home
from dragon_cli.options import home_option, json_option
from dragon_cli.render.output import console, plain, print_verified
from dragon_cli.render.text import print_json
from dragon_explorer.alerts.config import AlertsConfig


@click.command(short_help="Find every mistake in the alerts file.")
@alerts_file_argument
@home_option
@json_option
def check(file: Path | None, home: Path, as_json: bool) -> None:
    """Find every mistake in FILE, without sending anything.

    FILE is the fleet's alerts.toml by default. Node patterns are compared with the fleet's
    committee, if the folder has one.
    """
    fleet = Home(home)
    path = alerts_file(fleet, file)
    config, committee = read_checked(fleet, path)
    if as_json:
        print_json({"verdict": "verified", "file": str(path), **_summary(config)})
        return
    print_verified(f"{plain(str(path))} has no mistake.")
    for rule in config.rules:
        conditions = ", ".join(sorted(rule.conditions))
        console.print(f"rule {rule.name}: {conditions} → {', '.join(rule.routes)}")
    for route in config.routes.values():
        signed = "signed" if route.secrets else "not signed"
        console.print(
            f"route {route.name}: {route.type} {plain(route.target)}"
            f"{f', {signed}' if route.type == 'webhook' else ''}"
        )
    if committee is None:
        console.print(f"Nodes were not checked: {plain(str(fleet.committee_file))} does not exist.")
    console.print("`dragon alerts test` sends a test message to each route.")


def _summary(config: AlertsConfig) -> dict[str, object]:
    return {
        "rules": [
            {"name": rule.name, "on": sorted(rule.conditions), "routes": list(rule.routes)}
            for rule in config.rules
        ],
        "routes": [
            {"name": route.name, "type": route.type, "target": route.target}
            for route in config.routes.values()
        ],
    }
