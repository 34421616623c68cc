"""`dragon report`: uptime, downtime and payouts of all nodes in a period."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click

from dragon.encoding import check_id, from_hex, to_hex
from dragon.errors import InvalidProof
from dragon.protocol.merkle import HASH_BYTES
from dragon.protocol.trust import Trust
from dragon_cli.completions import complete_nodes
from dragon_cli.files import check_free
from dragon_cli.fleet import current, queries
from dragon_cli.fleet.layout import Home
from dragon_cli.hints import with_hint
from dragon_cli.options import (
    EXISTING_FILE,
    NEW_FILE,
    ca_option,
    home_option,
    json_option,
    operator_option,
    payout_option,
    rule_option,
    trust_options,
)
from dragon_cli.render.output import console
from dragon_cli.report import formats, sources
from dragon_cli.report.certifying import certified_forms, read_period, request_period
from dragon_cli.report.figures import Report, compute
from dragon_cli.report.forms import Forms, write
from dragon_cli.report.sources import VerifiedLog
from dragon_cli.report.terms import load_terms
from dragon_cli.times import FORMS, MonthType, Period, TimeInput, TimeType, cut_at_settled, period
from dragon_cli.trust import load_trust

FORMATS: Final = ("table", "csv", "json", "html")
CERTIFIED_USAGE: Final = "A certified report is about all nodes and needs no log"
CERTIFICATE_USAGE: Final = "The file of `--certificate` names the period"
OFFLINE_USAGE: Final = "`--log` uses no network"


@click.command(short_help="Report uptime, downtime, incidents and payouts of a period.")
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
    "--certified",
    is_flag=True,
    help="Let the operators sign the seconds of all nodes; the HTML file proves them.",
)
@click.option(
    "--certificate",
    "certificate_file",
    type=EXISTING_FILE,
    help="Use this file of `dragon period`, and no network; implies `--certified`.",
)
@payout_option
@rule_option
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
    certified: bool,
    certificate_file: Path | None,
    payout: str | None,
    rule_file: Path | None,
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

    With `--certified` the operators sign the figures of all nodes at once. Such a report proves its
    figures; `dragon verify report` checks the HTML file. With `--payout` and `--rule` it states
    what each node earns (docs/agreements.md).
    """
    fleet, form = Home(home), "json" if as_json else format_
    terms = load_terms(rule_file, payout)
    is_certified = bool(certified or certificate_file or terms)
    _check_usage(
        {"--node": nodes, "--log": log_file, "--operator": operator, "--root": root}
        if is_certified
        else {"--operator": log_file and operator},
        CERTIFIED_USAGE if is_certified else OFFLINE_USAGE,
    )
    if certificate_file:
        _check_usage({"--month": month, "--from": begin, "--to": end}, CERTIFICATE_USAGE)
    source = certificate_file or _period(month, begin, end)
    expected = None if root is None else from_hex(root, member="--root", size=HASH_BYTES)
    chosen = [check_id(node, member="--node") for node in nodes]
    if output:
        check_free(output)
    trust = load_trust(committee_file, trust_from, fleet)
    if isinstance(source, Path):
        write(certified_forms(read_period(source), terms, trust), form, output)
    elif is_certified:
        http = queries.connect(fleet, ca)
        trust = Trust(current.newer(trust.lineage, http), trust_from)
        found = request_period(source, trust.newest, http)
        write(certified_forms(found, terms, trust), form, output)
    else:
        log = _log(trust, log_file, operator, fleet, ca)
        made = _computed(log, chosen, source, expected)
        write(_forms(made), form, output)
        if expected is not None and form == "table" and output is None:
            console.print("[green]verified[/]: the log has the expected root.")


def _check_usage(unused: Mapping[str, object], reason: str) -> None:
    """Raises UsageError: an option was given that the report does not use."""
    if given := next((option for option, value in unused.items() if value), None):
        raise click.UsageError(f"{reason}; omit `{given}`.")


def _log(
    trust: Trust, file: Path | None, operator: str | None, fleet: Home, ca: Path | None
) -> VerifiedLog:
    if file:
        return sources.of_file(file, trust)
    asked = queries.operators(trust.newest, operator)
    return sources.of_operators(trust, asked, queries.connect(fleet, ca))


def _computed(
    log: VerifiedLog, nodes: Sequence[str], wanted: Period, expected: bytes | None
) -> Report:
    """Compute a report. Raises InvalidProof: the log has another root than expected."""
    last = cut_at_settled(wanted, log.settled_until()) if wanted.is_open else wanted.end
    made = compute(log, nodes, wanted.begin, last)
    if expected is not None and expected != made.root:
        message = (
            f"The log that settles this period has the root {to_hex(made.root)}, not "
            f"{to_hex(expected)}."
        )
        raise with_hint(
            InvalidProof(message), "Check the period, and get the report again from its author."
        )
    return made


def _forms(made: Report) -> Forms:
    return Forms(
        nodes=len(made.nodes),
        table=lambda options: formats.table(made, options),
        csv=lambda: formats.as_csv(made),
        html=lambda: formats.as_html(made, version=version("datadragon")),
        document=made.document,
    )


def _period(month: TimeInput | None, begin: TimeInput | None, end: TimeInput | None) -> Period:
    """Raises UsageError: not exactly one of `--month` and `--from`."""
    first = month or begin
    if first is None or (month and begin):
        raise click.UsageError("`dragon report` requires `--month` or `--from`, and not both.")
    if month and end:
        raise click.UsageError("`--to` requires `--from`; a month has its own end.")
    return period(first, end, time.time())
