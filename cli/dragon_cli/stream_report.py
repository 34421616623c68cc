"""`dragon stream report`: write a report on a period of a stream, which anyone can verify."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dragon.encoding import from_hex, to_hex
from dragon.errors import BadAnswer, NotFound
from dragon.net.log_client import LogClient
from dragon.net.stream_reports import WindowRange, assemble, find_windows
from dragon.net.stream_windows import StreamWindows
from dragon.protocol.merkle import HASH_BYTES
from dragon.protocol.streams.stream_report import StreamReport
from dragon.protocol.streams.stream_summary import StreamSummary
from dragon.protocol.trust import Trust
from dragon_cli.command_line import command_of
from dragon_cli.completions import complete_streams
from dragon_cli.files import check_free, write_new_lines
from dragon_cli.fleet import current, queries
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.stream_reading import open_stream
from dragon_cli.fleet.stream_services import ServiceAt
from dragon_cli.hints import with_hint
from dragon_cli.options import (
    NEW_FILE,
    ca_option,
    home_option,
    json_option,
    operator_option,
    stream_service_options,
    trust_options,
)
from dragon_cli.render import stream_reports
from dragon_cli.render.output import console, plain, print_verified
from dragon_cli.render.text import print_json
from dragon_cli.stream_report_files import verified
from dragon_cli.times import FORMS, Period, TimeInput, TimeType, period
from dragon_cli.trust import facts, knowledge, load_trust

COVERED_HINT = "Checkpoints are certified about once a minute; try again then."

begin_option = click.option(
    "--from",
    "begin",
    metavar="TIME",
    type=TimeType(),
    help=f"Begin: {FORMS} (default: the stream's first chunk).",
)
end_option = click.option(
    "--to",
    "end",
    metavar="TIME",
    type=TimeType(),
    help="End, exclusive (default: of a day or month its end, otherwise now).",
)


@click.command(short_help="Write a report on a period, which anyone can verify.")
@click.argument("stream", shell_complete=complete_streams)
@begin_option
@end_option
@click.option("-o", "--output", type=NEW_FILE, required=True, help="File to write the report to.")
@click.option(
    "--proofs",
    is_flag=True,
    help="Add the chunk headers and the zero-knowledge proof of every window.",
)
@operator_option
@trust_options
@stream_service_options
@home_option
@ca_option
@json_option
def report(
    stream: str,
    begin: TimeInput | None,
    end: TimeInput | None,
    output: Path,
    proofs: bool,
    operator: str | None,
    committee_file: Path | None,
    trust_from: int | None,
    at: ServiceAt,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Write a report on the windows of STREAM (an id 0x… or a name) in a period, and verify it.

    A window belongs to the period if one of its chunks arrived in it, by the clock of the stream's
    owner. Windows are reported whole. Windows that no checkpoint covers yet are left out, and
    counted. `dragon verify stream-report` verifies the file anywhere, offline.
    """
    wanted = period_of(begin, end)
    check_free(output)
    fleet = Home(home)
    client, stream_id = open_stream(fleet, at, ca, stream)
    http = queries.connect(fleet, ca)
    known = load_trust(committee_file, trust_from, fleet)
    trust = Trust(current.newer(known.lineage, http), trust_from)
    windows = StreamWindows(client, stream_id)
    log = LogClient(http, queries.operators(trust.newest, operator))
    found = _found(windows, log, wanted)
    expected = from_hex(stream_id, member="STREAM", size=HASH_BYTES)
    _check_descriptor(found, expected)
    made = assemble(windows, log, found, (wanted.begin, wanted.end), with_proofs=proofs)
    summary = _written(made, output, trust, expected)
    if as_json:
        told = {**summary.to_json(), "file": str(output), "uncovered": found.uncovered}
        print_json({"verdict": "verified", **told, **facts(trust, summary.committee)})
        return
    print_verified(stream_reports.verdict(summary))
    for line in stream_reports.statement(summary):
        console.print(line)
    console.print(knowledge(trust, summary.committee))
    if found.uncovered:
        count = "1 window is" if found.uncovered == 1 else f"{found.uncovered} windows are"
        console.print(f"Left out: {count} not covered by a certified checkpoint yet.")
    command = command_of("verify", "stream-report", output, "--stream", stream_id)
    console.print(f"Written: {plain(str(output))}. Next: `{plain(command)}`")


def period_of(begin: TimeInput | None, end: TimeInput | None) -> Period:
    """Return the period of `--from` and `--to`. Raises UsageError: it is empty."""
    return period(begin or TimeInput("the first chunk", 0), end, time.time())


def _written(made: StreamReport, output: Path, trust: Trust, expected: bytes) -> StreamSummary:
    """Write a report and verify the file. A file that is not verified is removed again.

    Raises as `write_new_lines` and `verified`.
    """
    write_new_lines(output, made.encode())
    try:
        return verified(output, trust, expected)
    except BaseException:  # also if the user interrupts
        output.unlink(missing_ok=True)
        raise


def _found(windows: StreamWindows, log: LogClient, wanted: Period) -> WindowRange:
    try:
        return find_windows(windows, log, wanted.begin, wanted.end)
    except NotFound as error:
        raise with_hint(error, COVERED_HINT if "window" in error.facts else "") from None


def _check_descriptor(found: WindowRange, expected: bytes) -> None:
    """Raises BadAnswer: the service describes another stream."""
    if found.descriptor.id != expected:
        message = f"The service describes stream {to_hex(found.descriptor.id)}."
        raise BadAnswer(message)
