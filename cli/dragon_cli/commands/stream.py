"""`dragon stream`: upload a file, wait until it is certified, and write receipts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from dragon.net.retries import PATIENCE_SECONDS, Retries
from dragon.net.stream_client import StreamClient
from dragon_cli.command_line import command_line, command_of
from dragon_cli.completions import complete_streams
from dragon_cli.fleet.file_upload import FileUpload, LocalFile, begin
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import interrupt_on_signals
from dragon_cli.fleet.streams import connect, find, write_receipts
from dragon_cli.fleet.upload_certification import Watcher, certified_at, wait_certified
from dragon_cli.fleet.uploads import UploadRecords, state_folder
from dragon_cli.groups import DefaultGroup
from dragon_cli.options import ca_option, home_option, json_option, token_option, url_option
from dragon_cli.render.outages import reported_retries
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import moment, print_json, printable
from dragon_cli.render.upload_bars import UploadBars
from dragon_cli.stream_check import check
from dragon_cli.stream_report import report


@click.group(
    cls=DefaultGroup,
    default="upload",
    short_help="Upload a file and wait until it is certified; check a service's data.",
)
def stream() -> None:
    """Upload a file to a stream, or check the data of a stream service.

    `dragon stream FILE` is short for `dragon stream upload FILE`.
    """


stream.add_command(check)
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
@url_option
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
    url: str | None,
    token_file: Path | None,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Upload FILE (`-` for standard input) to a stream and wait until it is certified.

    With `--receipts`, one receipt for each chunk is written to that folder, including the opening
    of its commitment. Run the same command again to resume an interrupted upload; a complete one
    is not repeated. A stream that has other data is refused without `--append`.
    """
    if no_wait and receipts:
        raise click.UsageError("`--receipts` needs certified windows; omit `--no-wait`.")
    interrupt_on_signals()
    fleet, retries = Home(home), reported_retries(patience)
    with LocalFile.open(file) as local:
        client, found = find(connect(fleet, url, ca, retries), fleet, stream, token_file)
        stream_id = str(found["stream"])
        upload = begin(
            *(client, stream_id, local, _records(state, receipts)),
            append=append,
            receipts=receipts,
            now=time.time(),
        )
        already = upload.is_complete and not upload.is_new
        with _explained_interrupt(upload, file):
            if upload.stored and not already:
                console.print(f"Resuming at byte {upload.stored} of {upload.file.size}.")
            with UploadBars(upload.file.size, upload.stored) as bars:
                if not already:
                    _run(upload, retries, bars)
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


def _records(state: Path | None, receipts: Path | None) -> UploadRecords:
    if state is not None:
        return UploadRecords(state)
    return UploadRecords(state_folder(), beside_receipts=receipts)


def _run(upload: FileUpload, retries: Retries, bars: UploadBars) -> None:
    """Upload, and show what is stored and certified meanwhile."""
    watcher = Watcher(upload.client, upload.record.stream, bars.certified, retries)

    def progress(stored: int, _chunks: int) -> None:
        bars.uploaded(stored)
        watcher.step()

    upload.run(retries, progress)


@contextmanager
def _explained_interrupt(upload: FileUpload, file: Path) -> Iterator[None]:
    """After Ctrl-C, say on stderr what is stored and how to continue."""
    try:
        yield
    except KeyboardInterrupt:
        size = "" if upload.file.size is None else f" of {upload.file.size}"
        name = "standard input" if str(file) == "-" else printable(str(file))
        lines = [f"Interrupted. The stream has at least {upload.stored}{size} bytes of {name}."]
        if upload.file.size is None:
            lines += ["Data from a pipe cannot be resumed; `--append` adds more to the stream."]
        else:
            lines += ["This command continues:", f"  {command_line(without=('append',))}"]
        click.echo("\n".join(lines), err=True)
        raise


@dataclass(frozen=True, slots=True)
class Done:
    """The result of an upload."""

    upload: FileUpload
    chunks: range  # of the stream, with the data of the file
    windows: int  # certified windows of the stream; 0 if nothing was waited for
    receipts: int  # written or found
    already: bool  # everything was stored before
    waited: bool

    def document(self) -> dict[str, object]:
        """Return the result for programs."""
        return {
            "stream": self.upload.record.stream,
            "bytes": self.upload.stored,
            "first": self.chunks.start,
            "chunks": len(self.chunks),
            "windows": self.windows,
            "receipts": self.receipts,
            "certified": self.waited,
        }

    def lines(self, client: StreamClient) -> Iterator[str]:
        """Yield what was done, what it proves, and what to do next."""
        stream, chunks = self.upload.record.stream, self.chunks
        numbers = f"chunks {chunks.start} to {chunks.stop - 1}" if chunks else "no chunk"
        what = f"{self.upload.stored} bytes, {numbers} of stream {stream}"
        if not self.waited:
            yield f"uploaded: {what}. Not certified yet."
            yield f"Next: `{command_of('windows', stream, '--watch')}` shows the certification,"
            yield "and the same command without `--no-wait` waits for it."
            return
        if self.already:
            yield f"[green]complete already[/]: {what}. Nothing was uploaded."
        else:
            yield f"[green]certified[/]: {what}"
        if chunks and (found := certified_at(client, stream, self.windows - 1)):
            round_start, signers = found
            yield (
                f"{signers} operators verified its zero-knowledge proofs, and certified in the "
                f"round from {moment(round_start)} that the data existed."
            )
        yield from self._next()

    def _next(self) -> Iterator[str]:
        folder = self.upload.record.receipts
        name = f"chunk-{self.chunks.start:08d}.json"
        verify = plain(command_of("verify", "receipt", Path(folder) / name))
        if self.receipts:
            count = f"{self.receipts} receipt{'' if self.receipts == 1 else 's'}"
            yield f"{count} in {plain(folder)}/. Next: `{verify}` verifies one."
        elif folder:
            yield f"Its receipts are in {plain(folder)}/. Next: `{verify}` verifies one."
        elif self.chunks and self.upload.file.size is not None:
            again = plain(command_line(without=("append",)))
            yield f"Next: `{again} --receipts FOLDER` writes its receipts; nothing is sent again."
        elif self.chunks:
            yield "`--receipts FOLDER` writes the receipts of an upload."
