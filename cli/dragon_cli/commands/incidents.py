"""`dragon incidents`: every certified outage, from an operator's log."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True, slots=True)
class Outage:
    """A node was certified down from `begin` until `end`, in Unix seconds."""

    node_id: str
    begin: int
    end: int | None  # None: it is still down

    def seconds(self, now: int) -> int:
        """Return the length, until now if it has not ended."""
        return max(0, (now if self.end is None else self.end) - self.begin)


@dataclass(frozen=True, slots=True)
class Measured:
    """An outage and its length until now, in seconds."""

    outage: Outage
    seconds: int
    seconds_maintenance: int  # the part that lies in announced maintenance

    def to_json(self) -> dict[str, Json]:
        lengths: dict[str, Json] = {"seconds": self.seconds}
        return {**asdict(self.outage), **lengths, "seconds_maintenance": self.seconds_maintenance}


@click.command(short_help="List the certified outages of nodes.")
@home_option
@ca_option
@operator_option
@click.option("--node", shell_complete=complete_nodes, help="List the outages of this node only.")
@click.option(
    "--from",
    "begin",
    metavar="TIME",
    type=TimeType(),
    help=f"List outages that ended later: {FORMS}.",
)
@click.option("--open", "only_open", is_flag=True, help="List only outages that have not ended.")
@limit_option(10_000, "Maximum number of outages; the newest are listed.")
@json_option
def incidents(
    home: Path,
    ca: Path | None,
    operator: str | None,
    node: str | None,
    begin: TimeInput | None,
    only_open: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List the certified outages of nodes, newest first.

    As one operator's log has them; `dragon report` verifies the log. Announced maintenance does not
    end an outage: the part of each that lies in it is listed.
    """
    http = queries.connect(Home(home), ca)
    committee = current.committee(Home(home), http)
    chosen = None if node is None else check_node(Home(home), node)
    asked = queries.operators(committee, operator)

    def ask(url: str) -> tuple[list[dict[str, Json]], list[Announcement]]:
        rows = queries.all_rows(http, url, "logs", chosen)
        return rows, announced.in_log(http, url, chosen)

    name, (rows, announcements) = queries.first(asked, ask)
    found = [
        each
        for each in outages(rows)
        if (each.end is None or not begin or each.end > begin.at)
        and (each.end is None or not only_open)
    ]
    found = sorted(found, key=lambda each: each.begin, reverse=True)[:limit]
    listed = _measured(found, announcements, int(time.time()))
    if as_json:
        print_json({"operator": name, "incidents": [each.to_json() for each in listed]})
    elif not found:
        console.print(f"The log of {plain(name)} has no such outage.")
    else:
        console.print(_table(name, listed))


def outages(rows: Iterable[dict[str, Json]]) -> list[Outage]:
    """Return the outages in status events, which are in the order of the log."""
    found: list[Outage] = []
    began: dict[str, int] = {}
    for row in rows:
        node, status, timestamp = row.get("node_id"), row.get("status"), row.get("timestamp")
        if not isinstance(node, str) or not isinstance(timestamp, int):
            continue
        if status == "down":
            began[node] = timestamp
        elif node in began:
            found.append(Outage(node, began.pop(node), timestamp))
    return found + [Outage(node, begin, None) for node, begin in began.items()]


def _measured(
    found: Iterable[Outage], announcements: Iterable[Announcement], now: int
) -> list[Measured]:
    windows: dict[str, list[Window]] = {}
    for each in announcements:
        windows.setdefault(each.node_id, []).append(each.window)
    return [_measure(each, windows.get(each.node_id, []), now) for each in found]


def _measure(outage: Outage, windows: Iterable[Window], now: int) -> Measured:
    seconds = outage.seconds(now)
    until = outage.begin + seconds
    return Measured(outage, seconds, announced.seconds_within(windows, outage.begin, until))


def _table(operator: str, found: Iterable[Measured]) -> Table:
    title = f"outages in the log of {plain(operator)}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("node", "down from", "until", "duration", "in maintenance"):
        table.add_column(column)
    for each in found:
        outage = each.outage
        table.add_row(
            plain(outage.node_id),
            moment(outage.begin),
            "[red]still down[/]" if outage.end is None else moment(outage.end),
            duration(each.seconds),
            duration(each.seconds_maintenance) if each.seconds_maintenance else "–",
        )
    return table
