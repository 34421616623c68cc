"""`dragon audit`: spot checks of a stream: chunks are drawn, disclosed and compared."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path

import click

from dragon.encoding import from_hex
from dragon.errors import NotFound, SpotCheckFailed
from dragon.net.log_client import LogClient
from dragon.net.spot_checks import answer_spot_check
from dragon.net.stream_reports import find_windows
from dragon.net.stream_windows import StreamWindows
from dragon.protocol.merkle import HASH_BYTES
from dragon.protocol.streams.spot_check import (
    MAX_ANSWER_BYTES,
    MAX_DRAWN,
    MAX_REQUEST_BYTES,
    NONCE_BYTES,
    SpotCheckAnswer,
    SpotCheckRequest,
)
from dragon.protocol.streams.spot_check_verification import SpotCheck, verify_spot_check
from dragon.protocol.trust import Trust
from dragon_cli.command_line import command_of
from dragon_cli.completions import complete_streams
from dragon_cli.errors import ClockBehind
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import PRIVATE_MODE, check_free, read_bytes, write_new
from dragon_cli.fleet import current, queries
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.stream_owner import owner_client
from dragon_cli.fleet.stream_reading import open_stream
from dragon_cli.fleet.stream_services import ServiceAt
from dragon_cli.hints import with_hint
from dragon_cli.options import (
    EXISTING_FILE,
    NEW_FILE,
    ca_option,
    home_option,
    json_option,
    operator_option,
    stream_service_options,
    token_option,
    trust_options,
)
from dragon_cli.render import spot_checks
from dragon_cli.render.output import console, plain, print_verified
from dragon_cli.render.text import moment, print_json
from dragon_cli.stream_report import begin_option, end_option, period_of
from dragon_cli.times import TimeInput
from dragon_cli.trust import facts, load_trust

DRAWN_HINT = (
    "About two minutes after the request, its checkpoint is in the log and covered; try again then."
)


@click.group(short_help="Check some chunks of a stream against their data.")
def audit() -> None:
    """Check drawn chunks of a stream: their data must be what the owner has committed to.

    The requester writes a request, the next certified checkpoint draws the chunks, the owner of the
    stream discloses them, and the requester verifies the answer.
    """


@audit.command(short_help="Write a request to disclose drawn chunks.")
@click.argument("stream", shell_complete=complete_streams)
@begin_option
@end_option
@click.option(
    "--chunks",
    type=click.IntRange(1, MAX_DRAWN),
    default=20,
    show_default=True,
    help="Number of chunks to draw.",
)
@click.option(
    "-o", "--output", type=NEW_FILE, required=True, help="Write the request to this file."
)
@operator_option
@trust_options
@stream_service_options
@home_option
@ca_option
@json_option
def request(
    stream: str,
    begin: TimeInput | None,
    end: TimeInput | None,
    chunks: int,
    output: Path,
    operator: str | None,
    committee_file: Path | None,
    trust_from: int | None,
    at: ServiceAt,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Request that chunks of STREAM (an id 0x… or a name) are disclosed.

    The request fixes the certified windows of the period and the number of chunks. Which chunks,
    the next certified checkpoint decides. Keep the file: `dragon audit verify` needs it.
    """
    wanted = period_of(begin, end)
    check_free(output)
    fleet = Home(home)
    client, stream_id = open_stream(fleet, at, ca, stream)
    trust = load_trust(committee_file, trust_from, fleet)
    log = LogClient(queries.connect(fleet, ca), queries.operators(trust.newest, operator))
    found = find_windows(StreamWindows(client, stream_id), log, wanted.begin, wanted.end)
    made = SpotCheckRequest(
        from_hex(stream_id, member="STREAM", size=HASH_BYTES),
        found.first,
        found.last,
        chunks,
        _now(log),
        secrets.token_bytes(NONCE_BYTES),
    )
    write_new(output, json.dumps(made.to_json(), indent=2) + "\n")
    if as_json:
        print_json({**made.to_json(), "file": str(output)})
        return
    windows = f"windows {found.first} to {found.last} of stream {stream_id}"
    console.print(f"Written: {plain(str(output))}, a request for {chunks} chunks of {windows}.")
    console.print(
        "The first checkpoint of the log from now on draws them. Keep the file, and send a copy to "
        "the owner of the stream after about two minutes."
    )
    console.print(f"Next, as the owner: `{plain(command_of('audit', 'answer', output))}`")


def _now(log: LogClient) -> int:
    """Return the time. Raises ClockBehind: a checkpoint is already later."""
    now, head = int(time.time()), log.certified()
    if head is not None and head.timestamp > now:
        message = f"A checkpoint of {moment(head.timestamp)} is later than this machine's clock."
        raise ClockBehind(message, timestamp=head.timestamp)
    return now + 1


@audit.command(short_help="Disclose the drawn chunks, as the owner of the stream.")
@click.argument("request_file", metavar="REQUEST", type=EXISTING_FILE)
@click.option("-o", "--output", type=NEW_FILE, required=True, help="File to write the answer to.")
@operator_option
@trust_options
@stream_service_options
@token_option
@home_option
@ca_option
@json_option
def answer(
    request_file: Path,
    output: Path,
    operator: str | None,
    committee_file: Path | None,
    trust_from: int | None,
    at: ServiceAt,
    token_file: Path | None,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Answer REQUEST: write a file with the data of the drawn chunks, and of no other.

    Whoever has the file can read these chunks. Chunks that the service does not have any more are
    named without data, and count as failed.
    """
    check_free(output)
    fleet, wanted = Home(home), _request(request_file)
    known = load_trust(committee_file, trust_from, fleet)
    http = queries.connect(fleet, ca)
    trust = Trust(current.newer(known.lineage, http), trust_from)
    client, stream_id = owner_client(fleet, at, ca, wanted.stream, token_file)
    log = LogClient(http, queries.operators(trust.newest, operator))
    try:
        made = answer_spot_check(wanted, StreamWindows(client, stream_id), log)
    except NotFound as error:
        raise with_hint(error, "" if "window" in error.facts else DRAWN_HINT) from None
    checked = verify_spot_check(made, trust, request=wanted)
    write_new(output, made.encode().decode() + "\n", mode=PRIVATE_MODE)  # it has data
    if as_json:
        print_json({**checked.to_json(), "file": str(output)})
        return
    disclosed = len(checked.chunks) - len(checked.failed)
    console.print(f"Written: {plain(str(output))}, with the data of {disclosed} drawn chunks.")
    for chunk in checked.failed:
        console.print(f"  [red]failed[/]: chunk {chunk.sequence}: {plain(chunk.detail)}")
    again = command_of("audit", "verify", output, "--request", request_file)
    console.print(f"Next, as the requester: `{plain(again)}`")


@audit.command(short_help="Verify an answer with its request, offline.")
@click.argument("answer_file", metavar="ANSWER", type=EXISTING_FILE)
@click.option(
    "--request",
    "request_file",
    type=EXISTING_FILE,
    required=True,
    help="Your own request; not one that came with the answer.",
)
@trust_options
@json_option
def verify(
    answer_file: Path,
    request_file: Path,
    committee_file: Path | None,
    trust_from: int | None,
    as_json: bool,
) -> None:
    """Verify ANSWER: draw the chunks again, and compare each with what its owner committed to.

    A drawn chunk that was not opened counts as failed. The exit code is 1 if a chunk failed.
    """
    trust, wanted = load_trust(committee_file, trust_from), _request(request_file)
    raw = read_bytes(answer_file, most=MAX_ANSWER_BYTES + 1)
    with reading(answer_file, raw, FileKind.SPOT_CHECK_ANSWER):
        decoded = SpotCheckAnswer.decode(raw.strip())
    checked = verify_spot_check(decoded, trust, request=wanted)
    _raise_failed(checked)
    if as_json:
        known = trust.lineage.named(decoded.checkpoint.entry.event.committee_id)
        print_json({"verdict": "verified", **checked.to_json(), **facts(trust, known)})
        return
    print_verified(spot_checks.verdict(checked))
    for line in spot_checks.statement(checked):
        console.print(line)


def _raise_failed(checked: SpotCheck) -> None:
    """Raises SpotCheckFailed."""
    if checked.failed:
        message = f"{spot_checks.verdict(checked)} {spot_checks.failures(checked)}"
        raise SpotCheckFailed(message, check=checked.to_json())


def _request(file: Path) -> SpotCheckRequest:
    raw = read_bytes(file, most=MAX_REQUEST_BYTES)
    with reading(file, raw, FileKind.SPOT_CHECK_REQUEST):
        return SpotCheckRequest.decode(raw)
