"""`dragon stream`: upload a file, wait until it is certified, and write receipts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from dragon.net.retries import PATIENCE_SECONDS, Retries
from dragon_cli.command_line import command_line
from dragon_cli.fleet.file_upload import FileUpload, LocalFile, begin
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import interrupt_on_signals
from dragon_cli.fleet.streams import connect, find, wait_certified, write_receipts
from dragon_cli.fleet.uploads import UploadRecords, state_folder
from dragon_cli.groups import DefaultGroup
from dragon_cli.options import ca_option, home_option, json_option, token_option, url_option
from dragon_cli.render.outages import reported_retries
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json, printable
from dragon_cli.stream_check import check

COLUMNS: Final = (
    TextColumn("{task.description}"),
    BarColumn(),
    DownloadColumn(),
    TransferSpeedColumn(),
)


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


@stream.command(short_help="Upload a file and wait until it is certified.")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--stream",
    "stream",
    required=True,
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
    help="Maximum time to wait until everything is certified.",
)
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
            if not already:
                _run(upload, retries)
            new = range(upload.record.first, upload.following)
            windows = wait_certified(client, stream_id, upload.following, seconds) if new else 0
            written = 0 if receipts is None else write_receipts(client, stream_id, new, receipts)
    if as_json:
        facts = {"stream": stream_id, "bytes": upload.stored, "first": new.start}
        print_json({**facts, "chunks": len(new), "windows": windows, "receipts": written})
        return
    _print(upload, new, already=already)
    _print_receipts(upload, written)


def _records(state: Path | None, receipts: Path | None) -> UploadRecords:
    if state is not None:
        return UploadRecords(state)
    return UploadRecords(state_folder(), beside_receipts=receipts)


def _run(upload: FileUpload, retries: Retries) -> None:
    """Upload with a progress bar on a terminal."""
    if upload.stored:
        console.print(f"Resuming at byte {upload.stored} of {upload.file.size}.")
    with Progress(*COLUMNS, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("uploaded", total=upload.file.size, completed=upload.stored)
        upload.run(retries, lambda stored, _chunks: bar.update(task, completed=stored))


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


def _print(upload: FileUpload, new: range, *, already: bool) -> None:
    numbers = f"chunks {new.start} to {new.stop - 1}" if new else "no chunk"
    what = f"{upload.stored} bytes, {numbers} of stream {upload.record.stream}"
    if already:
        console.print(f"[green]complete already[/]: {what}. Nothing was uploaded.")
    else:
        console.print(f"[green]certified[/]: {what}")


def _print_receipts(upload: FileUpload, written: int) -> None:
    folder = plain(upload.record.receipts)
    if written:
        console.print(f"{written} receipts in {folder}/; `dragon verify receipt` verifies them.")
    elif folder:
        console.print(f"Its receipts are in {folder}/.")
    else:
        console.print("`--receipts FOLDER` writes its receipts.")
