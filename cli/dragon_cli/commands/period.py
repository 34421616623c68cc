"""`dragon period`: one certificate of the uptime and downtime of all nodes in a period."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from dragon.encoding import canonical, check_id, parse
from dragon.errors import InvalidProof, UnknownNode
from dragon.protocol.claims.period import MAX_PERIOD_SECONDS
from dragon.protocol.period import MAX_PERIOD_FILE_BYTES, PeriodReport, ProvenLeaf
from dragon_cli.completions import complete_leaves
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import check_free, read_bytes, write_new
from dragon_cli.fleet import current, queries
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.periods import certified_period
from dragon_cli.groups import DefaultGroup
from dragon_cli.hints import with_hint
from dragon_cli.options import NEW_FILE, ca_option, file_argument, home_option, json_option
from dragon_cli.render import certificates, periods
from dragon_cli.render.output import console, plain, print_verified
from dragon_cli.render.text import print_json
from dragon_cli.times import (
    DAY_SECONDS,
    FORMS,
    MonthType,
    Period,
    TimeInput,
    TimeType,
    cut_at_settled,
)
from dragon_cli.times import period as period_of

output_option = click.option(
    "-o", "--output", type=NEW_FILE, help="New file to which the result is written."
)


@click.group(
    cls=DefaultGroup,
    default="request",
    short_help="Certify the uptime and downtime of all nodes.",
)
def period() -> None:
    """Certify all nodes of a period at once, or prove the part of one node.

    `dragon period FROM TO` is short for `dragon period request FROM TO`.
    """


@period.command(short_help="Certify the uptime and downtime of all nodes.")
@click.argument("begin", metavar="[FROM]", type=TimeType(), required=False)
@click.argument("end", metavar="[TO]", type=TimeType(), required=False)
@click.option("--month", metavar="MONTH", type=MonthType(), help="Month, such as 2026-10.")
@output_option
@home_option
@ca_option
@json_option
def request(
    begin: TimeInput | None,
    end: TimeInput | None,
    month: TimeInput | None,
    output: Path | None,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    wanted = _period(begin, end, month)
    if output:
        check_free(output)
    http = queries.connect(Home(home), ca)
    committee = current.committee(Home(home), http)
    last = wanted.end
    if wanted.is_open:
        last = cut_at_settled(wanted, queries.settled_until(committee, http))
    report = certified_period(committee, http, wanted.begin, last)
    if output:
        write_new(output, canonical(report.to_json()).decode() + "\n")
    if as_json:
        told = {**certificates.facts(report.certificate), "leaves": periods.leaves_facts(report)}
        file = None if output is None else str(output)
        certificate = report.certificate.to_json()
        print_json({"verdict": "verified", **told, "certificate": certificate, "file": file})
        return
    print_verified(f"{certificates.statement(report.certificate, committee)}.")
    console.print(periods.table(report))


request.help = f"""Request and verify one certificate of all nodes' uptime and downtime.

The period begins at FROM and ends before TO: {FORMS}. Without TO it is the whole of a day or month,
and otherwise ends now; a period that ends now is cut where the log is settled. It has at most 366
days."""


def _period(begin: TimeInput | None, end: TimeInput | None, month: TimeInput | None) -> Period:
    """Raises UsageError: not exactly one of FROM and `--month`."""
    first = month or begin
    if first is None or (month and begin):
        raise click.UsageError("`dragon period` requires FROM or `--month`, and not both.")
    if month and end:
        raise click.UsageError("A month has its own end; omit TO.")
    wanted = period_of(first, end, time.time(), names=("FROM", "TO"))
    if wanted.end - wanted.begin > MAX_PERIOD_SECONDS:
        days = MAX_PERIOD_SECONDS // DAY_SECONDS
        raise click.UsageError(f"A period has at most {days} days; request several.")
    return wanted


@period.command(short_help="Prove the part of one node, from a period report.")
@file_argument
@click.argument("node", shell_complete=complete_leaves)
@output_option
@json_option
def prove(file: Path, node: str, output: Path | None, as_json: bool) -> None:
    """Write a small file that proves the seconds of NODE, from the period report FILE.

    Without `--output` the file is printed. The signatures are not verified here; `dragon verify
    period` verifies both kinds of file.
    """
    node_id = check_id(node, member="NODE")
    if output:
        check_free(output)
    raw = read_bytes(file, most=MAX_PERIOD_FILE_BYTES)
    with reading(file, raw, FileKind.PERIOD):
        proven = _prove(PeriodReport.from_json(parse(raw)), node_id)
    if output is None:
        print_json(proven.to_json())
        return
    write_new(output, json.dumps(proven.to_json(), indent=2) + "\n")
    if as_json:
        print_json({"file": str(output), "node_id": node_id})
        return
    console.print(f"Written: {plain(str(output))}. `dragon verify period` verifies it.")


def _prove(report: PeriodReport, node_id: str) -> ProvenLeaf:
    """Raises InvalidProof, UnknownNode."""
    try:
        report.check_leaves()
        return report.prove(node_id)
    except InvalidProof as error:
        raise with_hint(error, periods.ALTERED_HINT) from None
    except UnknownNode as error:
        raise with_hint(error, "`dragon verify period FILE` lists the nodes of a report.") from None
