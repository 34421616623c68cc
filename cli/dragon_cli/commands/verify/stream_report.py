"""`dragon verify stream-report`: verify a report on a period of a stream."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.encoding import from_hex
from dragon.protocol.merkle import HASH_BYTES
from dragon_cli.completions import complete_stream_ids
from dragon_cli.options import file_argument, json_option, trust_options
from dragon_cli.render import stream_reports
from dragon_cli.render.output import console, print_verified
from dragon_cli.render.text import print_json
from dragon_cli.stream_report_files import check_claims, check_end, verified
from dragon_cli.trust import facts, knowledge, load_trust


@click.command(short_help="Verify a report on a period of a stream.")
@file_argument
@trust_options
@click.option(
    "--stream",
    "stream",
    metavar="ID",
    required=True,
    shell_complete=complete_stream_ids,
    help="Id (0x…) of the stream that the report must be about.",
)
@click.option(
    "--require-claim",
    is_flag=True,
    help="Fail with exit code 4 if a window carries no claim about its readings.",
)
@click.option(
    "--require-end",
    is_flag=True,
    help="Fail with exit code 4 unless a later window shows that none is missing at the end.",
)
@json_option
def stream_report(
    file: Path,
    committee_file: Path | None,
    trust_from: int | None,
    stream: str,
    require_claim: bool,
    require_end: bool,
    as_json: bool,
) -> None:
    """Verify the report in FILE, which `dragon stream report` writes.

    Shows which windows of the period are certified, what is proven of their committed readings, and
    every window without the claim. The bounds of each window are computed here. The writer of a
    report can end it early: `--require-end` accepts only one that shows a window behind its period.
    """
    expected = from_hex(stream, member="--stream", size=HASH_BYTES)
    trust = load_trust(committee_file, trust_from)
    summary = verified(file, trust, expected)
    if require_claim:
        check_claims(summary)
    if require_end:
        check_end(summary)
    if as_json:
        print_json({"verdict": "verified", **summary.to_json(), **facts(trust, summary.committee)})
        return
    print_verified(stream_reports.verdict(summary))
    for line in stream_reports.statement(summary):
        console.print(line)
    console.print(knowledge(trust, summary.committee))
