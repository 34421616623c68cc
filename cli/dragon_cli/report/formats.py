"""A report as a table for the terminal, as CSV, and as one self-contained HTML file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.console import Group
from rich.table import Table

from dragon.encoding import to_hex
from dragon.protocol.rounds import Rounds
from dragon_cli.command_line import command_of
from dragon_cli.render.output import plain
from dragon_cli.render.text import duration, moment
from dragon_cli.report.figures import Incident, NodeFigures, Report
from dragon_cli.report.pages import html_page
from dragon_cli.report.spreadsheets import plain_cell

TEMPLATE: Final = "report.html.j2"
CSV_COLUMNS: Final = (
    "node_id", "kind", "from", "to", "seconds_up", "seconds_down", "seconds_maintenance",
    "seconds_unknown", "percent_up", "percent_down", "percent_unknown", "incidents",
    "longest_seconds", "log_size", "log_root",
)  # fmt: skip


def table(report: Report, options: Sequence[str] = ()) -> Group:
    """Return one row for each node, the incidents, and what the figures rest on.

    Args: `options`, which name the fleet in the command that computes the report again.
    """
    title = f"{plain(report.committee.name)}: {moment(report.begin)} to {moment(report.end)}"
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False)
    shown.add_column("node", overflow="fold")
    for column in ("up %", "down %", "unknown %", "down", "unknown", "incidents", "longest"):
        shown.add_column(column, justify="right")
    for node in report.nodes:
        shown.add_row(
            plain(node.node_id),
            *(f"{node.percent(part):.3f}" for part in _parts(node)),
            duration(node.seconds_down),
            duration(node.seconds_unknown),
            str(len(node.incidents)),
            duration(node.longest_seconds),
        )
    return Group(shown, *_incidents(report), *_maintenance(report), *_basis(report, options))


def _parts(node: NodeFigures) -> tuple[int, int, int]:
    return node.seconds_up, node.seconds_down, node.seconds_unknown


def _incidents(report: Report) -> Iterator[str]:
    for node in report.nodes:
        for incident in node.incidents:
            yield (
                f"{plain(node.node_id)} was down from {moment(incident.begin)} to "
                f"{_end(incident)}: {duration(incident.seconds)} certified in the period "
                f"(event {incident.position})"
            )


def _maintenance(report: Report) -> Iterator[str]:
    for node in report.nodes:
        if announced := node.seconds_maintenance:
            down = f"{duration(node.seconds_down)} down"
            yield f"{plain(node.node_id)}: {duration(announced)} of {down} were announced ahead"


def _end(incident: Incident) -> str:
    return "after the period" if incident.end is None else moment(incident.end)


def _basis(report: Report, options: Sequence[str]) -> Iterator[str]:
    yield f"Computed from the first {report.size} log entries, root {to_hex(report.root)}."
    yield f"`{plain(check_command(report, options))}` computes it again and compares the root."


def check_command(report: Report, options: Sequence[str] = ()) -> str:
    """Return the command that computes the report again from any operator's verified log."""
    nodes = [word for node in report.nodes for word in ("--node", node.node_id)]
    if report.is_whole:
        nodes = []
    span = ("--from", _iso(report.begin), "--to", _iso(report.end))
    return command_of("report", *span, *nodes, "--root", to_hex(report.root), *options)


def certificate_command(report: Report, node_id: str) -> str:
    """Return the command that requests a certificate of one node's figures."""
    span = ("--from", _iso(report.begin), "--to", _iso(report.end))
    return command_of("downtime", node_id, *span, "--output", f"{node_id}.json")


def _iso(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def as_csv(report: Report) -> str:
    """Return one line for each node, after a line with the names of the columns."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(CSV_COLUMNS)
    for node in report.nodes:
        percents = (f"{node.percent(part):.3f}" for part in _parts(node))
        subject = (plain_cell(node.node_id), node.kind, report.begin, report.end)
        seconds = (
            node.seconds_up,
            node.seconds_down,
            node.seconds_maintenance,
            node.seconds_unknown,
        )
        outages = (len(node.incidents), node.longest_seconds)
        basis = (report.size, to_hex(report.root))
        lines.writerow((*subject, *seconds, *percents, *outages, *basis))
    return text.getvalue()


def as_html(report: Report, *, version: str) -> str:
    """Return one HTML file without references to any other.

    It has no time of its own, so the same period gives the same file from every operator's log
    with the same newest checkpoint. Args: `version`, of this program.
    """
    operators = len(report.committee.operators)
    return html_page(
        TEMPLATE,
        report=report,
        rounds=_described(report.committee.rounds),
        quorum=report.committee.quorum("status"),
        operators=operators,
        check=check_command(report),
        certificate=certificate_command(report, report.nodes[0].node_id),
        version=version,
    )


def _described(rounds: Rounds) -> dict[str, str]:
    return {
        "seconds": duration(rounds.seconds),
        "unknown_after": duration(rounds.unknown_after),
        "settled_after": duration(rounds.settled_after),
    }
