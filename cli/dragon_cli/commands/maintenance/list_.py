"""`dragon maintenance list`: the windows that a log announces, past and coming."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import click
from rich.table import Table

from dragon.encoding import Json
from dragon_cli.completions import complete_nodes
from dragon_cli.fleet import announced, current, queries
from dragon_cli.fleet.announced import Announcement
from dragon_cli.fleet.layout import Home
from dragon_cli.options import ca_option, home_option, json_option, limit_option, operator_option
from dragon_cli.recurrence import Window
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import duration, moment, print_json
from dragon_cli.times import FORMS, TimeInput, TimeType
from dragon_cli.trust import check_node

_COLOURS = {"now": "[yellow]now[/]", "coming": "coming", "past": "past"}


@click.command(short_help="List announced maintenance, past and coming.")
@click.argument("node", required=False, shell_complete=complete_nodes)
@click.option(
    "--from",
    "begin",
    metavar="TIME",
    type=TimeType(),
    help=f"List windows that end later: {FORMS}.",
)
@click.option("--open", "only_open", is_flag=True, help="List only windows that have not ended.")
@limit_option(10_000, "Maximum number of windows; the latest are listed.")
@home_option
@ca_option
@operator_option
@json_option
def list_(
    node: str | None,
    begin: TimeInput | None,
    only_open: bool,
    limit: int,
    home: Path,
    ca: Path | None,
    operator: str | None,
    as_json: bool,
) -> None:
    """List the announced maintenance of NODE, or of all nodes, the latest first.

    As one operator's log has it.
    """
    http = queries.connect(Home(home), ca)
    committee = current.committee(Home(home), http)
    chosen = None if node is None else check_node(Home(home), node)
    asked = queries.operators(committee, operator)
    name, found = queries.first(asked, lambda url: announced.in_log(http, url, chosen))
    now = int(time.time())
    after = max(now if only_open else 0, begin.at if begin else 0)
    kept = [each for each in found if each.window.end > after]
    kept = sorted(kept, key=lambda each: each.window, reverse=True)[:limit]
    if as_json:
        print_json({"operator": name, "maintenance": [_as_json(each, now) for each in kept]})
    elif kept:
        console.print(_table(name, kept, now))
    else:
        console.print(f"The log of {plain(name)} announces no such maintenance.")


def state(window: Window, now: int) -> str:
    """Return whether a window is past, now or coming."""
    if window.end <= now:
        return "past"
    return "now" if window.begin <= now else "coming"


def _as_json(each: Announcement, now: int) -> dict[str, Json]:
    return {
        "position": each.position,
        "node_id": each.node_id,
        "from": each.window.begin,
        "to": each.window.end,
        "timestamp": each.timestamp,
        "state": state(each.window, now),
    }


def _table(operator: str, found: Iterable[Announcement], now: int) -> Table:
    title = f"maintenance in the log of {plain(operator)}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("node", "from", "until", "duration", "state"):
        table.add_column(column)
    for each in found:
        window = each.window
        table.add_row(
            plain(each.node_id),
            moment(window.begin),
            moment(window.end),
            duration(window.end - window.begin),
            _COLOURS[state(window, now)],
        )
    return table
