"""`dragon stream`: upload a file, wait until it is certified, and write receipts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dragon.net.retries import PATIENCE_SECONDS, Retries
from dragon.net.stream_client import StreamClient
from dragon.protocol.streams.readings import Readings
from dragon_cli.command_line import command_line
from dragon_cli.completions import complete_streams
from dragon_cli.csv_options import CsvOptions, csv_options
from dragon_cli.fleet.csv_upload import RowCount, begin_rows
from dragon_cli.fleet.file_upload import LocalFile, begin
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import interrupt_on_signals
from dragon_cli.fleet.stream_services import ServiceAt
from dragon_cli.fleet.streams import check_no_readings, find, write_receipts
from dragon_cli.fleet.upload_certification import Watcher, wait_certified
from dragon_cli.fleet.uploads import UploadRecords, state_folder
from dragon_cli.groups import DefaultGroup
from dragon_cli.options import (
    ca_option,
    home_option,
    json_option,
    stream_service_options,
    token_option,
)
from dragon_cli.reading_options import is_given, reading_options, readings_of
from dragon_cli.render.outages import reported_retries
from dragon_cli.render.output import console
from dragon_cli.render.text import print_json, printable
from dragon_cli.render.upload_bars import UploadBars
from dragon_cli.stream_archive import archive
from dragon_cli.stream_check import check
from dragon_cli.stream_create import create
from dragon_cli.stream_report import report
from dragon_cli.stream_settings import readings_for
from dragon_cli.upload_result import Done, Upload


@click.group(
    cls=DefaultGroup,
    default="upload",
    short_help="Create streams, upload files until they are certified, check a service's data.",
)
def stream() -> None:
    """Create a stream, upload a file to it, or check the data of a stream service.

    `dragon stream FILE` is short for `dragon stream upload FILE`.
    """


stream.add_command(archive)
stream.add_command(check)
stream.add_command(create)
stream.add_command(report)


@stream.command(short_help="Upload a file and wait until it is certified.")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--stream",
    "stream",
    required=True,
    shell_complete=complete_streams,
    help="Id (0x…) or name of the stream; a stream with a new name is created.",
)
@click.option(
    "--receipts",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to which the receipts are written.",
)
@click.option(
    "--seconds",
    type=click.IntRange(0),
    default=300,
    show_default=True,
    help="Maximum time without a further certified window after the upload.",
)
@click.option("--no-wait", is_flag=True, help="Do not wait until the upload is certified.")
@click.option(
    "--patience",
    type=click.IntRange(0),
    default=int(PATIENCE_SECONDS),
    show_default=True,
    help="Maximum time without progress while the service is unavailable, in seconds.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help=(
        "Folder that keeps the progress (default: the folder of the receipts, otherwise "
        "`datadragon` in $XDG_STATE_HOME or ~/.local/state)."
    ),
)
@click.option(
    "--append",
    is_flag=True,
    help="Append FILE to what the stream has already, also if FILE is a part of it.",
)
@csv_options
@reading_options
@stream_service_options
@token_option
@home_option
@ca_option
@json_option
def upload(
    file: Path,
    stream: str,
    receipts: Path | None,
    seconds: int,
    no_wait: bool,
    patience: int,
    state: Path | None,
    append: bool,
    is_csv: bool,
    column: str | None,
    delimiter: str | None,
    no_header: bool,
    at: ServiceAt,
    token_file: Path | None,
    home: Path,
    ca: Path | None,
    as_json: bool,
    **words: Any,
) -> None:
    """Upload FILE (`-` for standard input) to a stream and wait until it is certified.

    With `--receipts`, one receipt for each chunk is written to that folder, including the opening
    of its commitment. Run the same command again to resume an interrupted upload; a complete one
    is not repeated. A stream that has other data is refused without `--append`.

    `--csv` sends one column of a CSV file to a stream with readings: the text of each row's cell is
    one message, with spaces at its end up to `--length`. A text that is no number is sent too, as
    data without a reading. If the file has grown since, the same command sends its new rows. The
    options from `--readings` to `--most` describe a new stream, as for `dragon stream create`.
    """
    if no_wait and receipts:
        raise click.UsageError("`--receipts` needs certified windows; omit `--no-wait`.")
    rows = CsvOptions.of(is_csv=is_csv, column=column, delimiter=delimiter, no_header=no_header)
    if rows is None and is_given(words):
        raise click.UsageError(
            "A file without `--csv` has no readings; `dragon stream create` creates a stream."
        )
    interrupt_on_signals()
    fleet, retries = Home(home), reported_retries(patience)
    begins = _Begin(stream, append, receipts, _records(state, receipts), fleet, token_file)
    with LocalFile.open(file) as local:
        service = at.client(fleet, ca, stream, may_be_new=True, retries=retries)
        if rows is None:
            upload = begins.with_file(service, local)
        else:
            upload = begins.with_rows(service, local, rows, readings_of(words))
        client, stream_id = upload.client, upload.record.stream
        already = upload.is_complete and not upload.is_new
        with _explained_interrupt(upload, file):
            if upload.stored and not already:
                console.print(f"Resuming at {upload.place}.")
            with UploadBars(upload.total, upload.stored, upload.unit) as bars:
                if not already:
                    _run(upload, retries, bars, end_window=not no_wait)
                new = range(upload.record.first, upload.following)
                windows = 0
                if new and not no_wait:
                    windows = wait_certified(
                        client, stream_id, upload.following, seconds, report=bars.certified
                    )
                written = 0
                if receipts is not None:
                    written = write_receipts(client, stream_id, new, receipts, bars.written)
    done = Done(upload, new, windows, written, already=already, waited=not no_wait)
    if as_json:
        print_json(done.document())
        return
    for line in done.lines(client):
        console.print(line)


@dataclass(frozen=True, slots=True)
class _Begin:
    """Where an upload goes, and how it begins."""

    stream: str  # id or name
    append: bool
    receipts: Path | None
    records: UploadRecords
    fleet: Home
    token_file: Path | None

    def with_file(self, service: StreamClient, file: LocalFile) -> Upload:
        """Begin with a file, or find an earlier upload. Raises as `find` and `begin`."""
        client, found = find(service, self.fleet, self.stream, self.token_file)
        check_no_readings(found)
        return begin(
            *(client, str(found["stream"]), file, self.records),
            append=self.append,
            receipts=self.receipts,
            now=time.time(),
        )

    def with_rows(
        self,
        service: StreamClient,
        file: LocalFile,
        options: CsvOptions,
        given: Readings | None,
    ) -> Upload:
        """Check a CSV file, then begin with it. Raises as `readings_for` and `begin_rows`."""
        readings, wanted = readings_for(service, self.stream, given)
        rows = options.rows(file, readings)
        count = None if file.size is None else RowCount.of(rows, readings)
        client, found = find(service, self.fleet, self.stream, self.token_file, **wanted)
        return begin_rows(
            *(client, str(found["stream"]), rows, count, self.records),
            append=self.append,
            receipts=self.receipts,
            now=time.time(),
        )


def _records(state: Path | None, receipts: Path | None) -> UploadRecords:
    if state is not None:
        return UploadRecords(state)
    return UploadRecords(state_folder(), beside_receipts=receipts)


def _run(upload: Upload, retries: Retries, bars: UploadBars, *, end_window: bool) -> None:
    """Upload, and show what is stored and certified meanwhile."""
    watcher = Watcher(upload.client, upload.record.stream, bars.certified, retries)

    def progress(stored: int, _chunks: int) -> None:
        bars.uploaded(stored)
        watcher.step()

    upload.run(retries, progress, end_window=end_window)


@contextmanager
def _explained_interrupt(upload: Upload, file: Path) -> Iterator[None]:
    """After Ctrl-C, say on stderr what is stored and how to continue."""
    try:
        yield
    except KeyboardInterrupt:
        size = "" if upload.total is None else f" of {upload.total}"
        name = "standard input" if str(file) == "-" else printable(str(file))
        has = f"{upload.stored}{size} {upload.unit}"
        lines = [f"Interrupted. The stream has at least {has} of {name}."]
        if upload.total is None:
            lines += ["Data from a pipe cannot be resumed; `--append` adds more to the stream."]
        else:
            lines += ["This command continues:", f"  {command_line(without=('append',))}"]
        click.echo("\n".join(lines), err=True)
        raise
