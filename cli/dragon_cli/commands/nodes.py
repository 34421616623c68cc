"""`dragon nodes`: the nodes that an operator watches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Group
from rich.table import Table

from dragon.encoding import Json
from dragon_cli.fleet import current, queries
from dragon_cli.fleet.announced import windows_of
from dragon_cli.fleet.layout import Home
from dragon_cli.options import ca_option, home_option, json_option, operator_option
from dragon_cli.render.maintenance import maintenance_lines
from dragon_cli.render.output import console, plain, styled
from dragon_cli.render.text import moment, print_json


@click.command(short_help="List all nodes and their status.")
@home_option
@ca_option
@operator_option
@json_option
def nodes(home: Path, ca: Path | None, operator: str | None, as_json: bool) -> None:
    """List all nodes: certified status, announced maintenance, the operators' latest probes.

    The status is by the log of one operator. Probes by the other operators are listed where they
    differ from its own. Each operator probes every node at least once a round.
    """
    http = queries.connect(Home(home), ca)
    committee = current.committee(Home(home), http)
    asked = queries.operators(committee, operator)
    name, found = queries.first(asked, lambda url: queries.all_nodes(http, url))
    others = [] if operator else [each for each in queries.views(committee, http) if not each.error]
    views = {each.operator: each.nodes for each in others if each.operator != name}
    if as_json:
        print_json({"operator": name, "nodes": [_with_views(row, views) for row in found]})
    else:
        windows = [(str(row.get("node_id")), windows_of(row)) for row in found]
        lines = maintenance_lines(windows, int(time.time()))
        console.print(Group(_table(name, found, views), *lines))


Views = dict[str, dict[str, dict[str, Json]]]  # operator → node → what `GET /nodes` says of it


def _seen_by(row: dict[str, Json], views: Views) -> dict[str, Json]:
    """The latest probe by each of the other operators that has one."""
    seen = {
        operator: nodes.get(str(row.get("node_id")), {}).get("seen")
        for operator, nodes in views.items()
    }
    return {operator: probe for operator, probe in seen.items() if isinstance(probe, dict)}


def _with_views(row: dict[str, Json], views: Views) -> dict[str, Json]:
    seen = _seen_by(row, views)
    return {**row, "seen_by": seen} if seen else row


def _table(operator: str, found: list[dict[str, Json]], views: Views) -> Table:
    table = Table(title=f"nodes according to {operator}", title_justify="left", box=None)
    for column in ("node", "kind", "status", "since", "latest probe"):
        table.add_column(column, overflow="fold")
    for row in found:
        table.add_row(
            plain(str(row.get("node_id"))),
            plain(str(row.get("kind"))),
            styled(str(row.get("status"))),
            moment(row.get("since")),
            "\n".join(_probes(row, views)),
        )
    return table


def _probes(row: dict[str, Json], views: Views) -> Iterator[str]:
    own = _probe(row.get("seen"))
    yield own
    yield from _newest_beat(row.get("beat"))
    others: dict[str, list[str]] = {}
    for operator, seen in _seen_by(row, views).items():
        if (other := _probe(seen)) != own:
            others.setdefault(other, []).append(plain(operator))
    for other, operators in others.items():
        named = operators[0] if len(operators) == 1 else f"{len(operators)} others"
        yield f"{named}: {other}"


def _newest_beat(beat: Json) -> Iterator[str]:
    """Say how old the newest beat of a target is, if it sends beats and one has come."""
    if isinstance(beat, dict):
        source = beat.get("passed_on_by")
        passed_on = f", passed on by {plain(str(source))}" if source else ""
        yield f"last beat {plain(str(beat.get('age_seconds')))} s ago{passed_on}"


def _probe(seen: Json) -> str:
    if not isinstance(seen, dict):
        return "–"
    return f"{styled(str(seen.get('status')))}, {plain(str(seen.get('reason')))}"
