"""`dragon report`: uptime, downtime and incidents of all nodes in a period, from a verified log."""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click

from dragon.encoding import check_id, from_hex, to_hex
from dragon.errors import InvalidProof
from dragon.protocol.merkle import HASH_BYTES
from dragon_cli.command_line import given_options
from dragon_cli.completions import complete_nodes
from dragon_cli.files import check_free, write_new
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home
from dragon_cli.hints import with_hint
from dragon_cli.options import (
    EXISTING_FILE,
    NEW_FILE,
    ca_option,
    home_option,
    json_option,
    operator_option,
    trust_options,
)
from dragon_cli.render.output import console
from dragon_cli.render.text import as_json_text, print_json
from dragon_cli.report import formats, sources
from dragon_cli.report.figures import Report, compute
from dragon_cli.times import FORMS, MonthType, Period, TimeInput, TimeType, cut_at_settled, period
from dragon_cli.trust import load_trust

FORMATS: Final = ("table", "csv", "json", "html")


@click.command(short_help="Report uptime, downtime and incidents of a period.")
@click.option("--month", metavar="MONTH", type=MonthType(), help="Month, such as 2026-10.")
@click.option("--from", "begin", metavar="TIME", type=TimeType(), help=f"Begin: {FORMS}.")
@click.option(
    "--to",
    "end",
    metavar="TIME",
    type=TimeType(),
    help="End, exclusive (default: of a day or month its end, otherwise now).",
)
@click.option(
    "--node",
    "nodes",
    multiple=True,
    shell_complete=complete_nodes,
    help="Node to report; repeat it for several.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="Form of the report; `html` is one file to hand on.",
)
@click.option("--output", type=NEW_FILE, help="Write the report to this new file.")
@click.option(
    "--log",
    "log_file",
    type=EXISTING_FILE,
    help="Use this copy of an operator's log (operator.db), and no network.",
)
@operator_option
@click.option(
    "--root", metavar="HEX", help="Root (0x…) that the log must have, from an earlier report."
)
@trust_options
@home_option
@ca_option
@json_option
def report(
    month: TimeInput | None,
    begin: TimeInput | None,
    end: TimeInput | None,
    nodes: tuple[str, ...],
    format_: str,
    output: Path | None,
    log_file: Path | None,
    operator: str | None,
    root: str | None,
    committee_file: Path | None,
    trust_from: int | None,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Report for each node how long it was up, down and unknown in a period.

    The figures come from a log of which every entry is verified. Everybody gets the same figures
    for the same period. A period that is not over is cut where the log is settled.
    """
    wanted = _period(month, begin, end)
    expected = None if root is None else from_hex(root, member="--root", size=HASH_BYTES)
    if log_file and operator:
        raise click.UsageError("`--log` uses no network; omit `--operator`.")
    if output:
        check_free(output)
    fleet = Home(home)
    trust = load_trust(committee_file, trust_from, fleet)
    chosen = [check_id(node, member="--node") for node in nodes]
    if log_file:
        log = sources.of_file(log_file, trust)
    else:
        asked = queries.operators(trust.newest, operator)
        log = sources.of_operators(trust, asked, queries.connect(fleet, ca))
    last = wanted.end
    if wanted.is_open:
        last = cut_at_settled(wanted, log.settled_until())
    made = compute(log, chosen, wanted.begin, last)
    _check_root(made, expected)
    _write(made, "json" if as_json else format_, output, checked=expected is not None)


def _period(month: TimeInput | None, begin: TimeInput | None, end: TimeInput | None) -> Period:
    """Raises UsageError: not exactly one of `--month` and `--from`."""
    first = month or begin
    if first is None or (month and begin):
        raise click.UsageError("`dragon report` requires `--month` or `--from`, and not both.")
    if month and end:
        raise click.UsageError("`--to` requires `--from`; a month has its own end.")
    return period(first, end, time.time())


def _check_root(made: Report, expected: bytes | None) -> None:
    """Raises InvalidProof: the log has another root than expected."""
    if expected is not None and expected != made.root:
        message = (
            f"The log that settles this period has the root {to_hex(made.root)}, not "
            f"{to_hex(expected)}."
        )
        raise with_hint(
            InvalidProof(message), "Check the period, and get the report again from its author."
        )


def _write(made: Report, format_: str, output: Path | None, *, checked: bool) -> None:
    if output is None and format_ == "table":
        console.print(
            formats.table(made, given_options(only=("home", "committee_file", "trust_from", "ca")))
        )
        if checked:
            console.print("[green]verified[/]: the log has the expected root.")
        return
    if output is None and format_ == "json":
        print_json(made.document())
        return
    text = _text(made, format_)
    if output is None:
        click.echo(text, nl=False)
        return
    write_new(output, text)
    click.echo(f"Wrote the report of {len(made.nodes)} nodes to {output}.", err=True)


def _text(made: Report, format_: str) -> str:
    match format_:
        case "csv":
            return formats.as_csv(made)
        case "html":
            return formats.as_html(made, version=version("datadragon"))
        case "json":
            return as_json_text(made.document())
    with console.capture() as shown:
        console.print(formats.table(made))
    return shown.get()
