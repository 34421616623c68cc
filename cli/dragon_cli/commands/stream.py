"""`dragon stream`: upload a file, wait until it is certified, and write receipts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from dragon.errors import BadAnswer
from dragon.net.stream_client import StreamClient
from dragon.net.stream_upload import PIECE_BYTES, StreamUpload
from dragon_cli.errors import UnusableFile
from dragon_cli.files import make_folder, read_text
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.streams import connect, find, wait_certified, write_receipts
from dragon_cli.groups import DefaultGroup
from dragon_cli.hints import with_hint
from dragon_cli.options import ca_option, home_option, json_option, token_option, url_option
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json
from dragon_cli.stream_check import check

PROGRESS_FILE: Final = "progress.json"
MAX_PROGRESS_BYTES: Final = 4096


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
    url: str | None,
    token_file: Path | None,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Upload FILE (`-` for standard input) to a stream and wait until it is certified.

    With `--receipts`, one receipt for each chunk is written to that folder, including the opening
    of its commitment. Run the command again with the same folder to resume an interrupted upload.
    """
    fleet = Home(home)
    client, found = find(connect(fleet, url, ca), fleet, stream, token_file)
    stream_id = str(found["stream"])
    with _open(file) as source:
        total, chunks, first, base = _upload(client, stream_id, file, source, receipts)
    windows = wait_certified(client, stream_id, chunks, seconds)
    new = range(first, chunks)
    written = 0 if receipts is None else write_receipts(client, stream_id, new, receipts)
    if as_json:
        facts = {"stream": stream_id, "bytes": total - base, "first": first, "chunks": len(new)}
        print_json({**facts, "windows": windows, "receipts": written})
        return
    numbers = f"chunks {first} to {chunks - 1}" if new else "no chunk"
    console.print(f"[green]certified[/]: {total - base} bytes, {numbers} of stream {stream_id}")
    if receipts is not None:
        folder = plain(str(receipts))
        console.print(f"{written} receipts in {folder}/; `dragon verify receipt` verifies them.")


def _open(file: Path) -> BinaryIO:
    if str(file) == "-":
        return sys.stdin.buffer
    try:
        return file.open("rb")
    except OSError as error:
        raise UnusableFile(f"Cannot read {file}: {error.strerror}.") from None


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(PIECE_BYTES):
        yield piece


def _upload(
    client: StreamClient, stream: str, file: Path, source: BinaryIO, receipts: Path | None
) -> tuple[int, int, int, int]:
    """Upload, or resume the upload that `receipts` records.

    Returns bytes and chunks of the stream at the end, the number of the first uploaded chunk, and
    the bytes of the stream before it.
    """
    size = None if str(file) == "-" else file.stat().st_size
    begun = _load_progress(receipts, stream, size)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("uploaded", total=size)
        upload = StreamUpload(client, stream, _pieces(source))

        def show(total: int, _chunks: int) -> None:
            bar.update(task, completed=total - int(begun["base"]))

        if begun:
            _resume(client, stream, source, begun)
            bar.update(task, completed=source.tell() if size else 0)
        else:
            now = client.get(f"/streams/{stream}")
            begun.update(base=now["bytes"], first=now["chunks"], stream=stream, size=size)
            _save_progress(receipts, begun)
        upload.progress = show
        total, chunks = upload.run()
    return total, chunks, int(begun["first"]), int(begun["base"])


def _load_progress(receipts: Path | None, stream: str, size: int | None) -> dict[str, Any]:
    """Return the record of an interrupted upload, empty if there is none.

    Raises UnusableFile: the folder belongs to another file or stream.
    """
    if receipts is None or not (receipts / PROGRESS_FILE).exists():
        return {}
    try:
        begun: dict[str, Any] = json.loads(
            read_text(receipts / PROGRESS_FILE, most=MAX_PROGRESS_BYTES)
        )
        same = (begun["stream"], begun["size"]) == (stream, size)
    except (ValueError, KeyError, TypeError):
        same, begun = False, {}
    if not same:
        message = f"{receipts} holds the receipts of another file or stream."
        raise with_hint(UnusableFile(message), "Choose another folder with `--receipts`.")
    return begun


def _resume(client: StreamClient, stream: str, source: BinaryIO, begun: dict[str, Any]) -> None:
    """Skip the uploaded part of the file. Raises BadAnswer: the stream ends outside the file."""
    done = int(str(client.get(f"/streams/{stream}")["bytes"])) - int(begun["base"])
    if begun["size"] is None:
        message = "An interrupted upload from standard input cannot be resumed."
        raise BadAnswer(message, reason="offset")
    if not 0 <= done <= int(begun["size"]):
        message = "Cannot resume: other data was written to the stream in the meantime."
        raise BadAnswer(message, reason="offset")
    source.seek(done)


def _save_progress(receipts: Path | None, begun: dict[str, Any]) -> None:
    if receipts is not None:
        make_folder(receipts)
        (receipts / PROGRESS_FILE).write_text(json.dumps(begun) + "\n")
