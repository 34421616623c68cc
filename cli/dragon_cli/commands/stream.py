"""`dragon stream`: any data becomes chunks that a majority of nodes vouches for, and receipts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from dragon.encoding import Json
from dragon.errors import BadAnswer, NotCertified, SettingsError
from dragon.net.http_client import HttpClient
from dragon.net.session import make_session
from dragon.net.stream_client import StreamClient
from dragon.net.stream_upload import PIECE, StreamUpload
from dragon_cli.errors import UnusableFile
from dragon_cli.files import make_folder, read_text
from dragon_cli.fleet.layout import SOURCES, STREAMS, Home
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render.output import console, print_json

MOST_TOKEN: Final = 4096
PROGRESS: Final = "progress.json"
LOOK: Final = 0.3  # seconds between two looks at what is certified


def connect(home: Home, url: str | None, ca: Path | None) -> StreamClient:
    """The fleet's stream service, without a token."""
    found = url or home.services().get(STREAMS, "http://127.0.0.1:5300")
    believed = ca or home.ca
    return StreamClient(found.rstrip("/"), HttpClient(make_session(believed)), ca=believed)


def with_token(client: StreamClient, path: Path) -> StreamClient:
    """Raises SettingsError: there is no token in that file."""
    token = read_text(path, most=MOST_TOKEN).strip() if path.is_file() else ""
    if not token:
        raise SettingsError(f"{path} holds no token")
    return StreamClient(client.url, client.http, token, client.ca)


def find(
    client: StreamClient, home: Home, stream: str, token_file: Path | None, **wanted: Json
) -> tuple[StreamClient, dict[str, Json]]:
    """The stream by its id, under its own token; or by its name, which is made if it is not there,
    under the service's token. Raises SettingsError, PeerError, Unauthorized, NotFound."""
    if stream.startswith("0x"):
        if token_file is None:
            raise SettingsError("a stream that is named by its id needs --token-file")
        owner = with_token(client, token_file)
        return owner, owner.get(f"/streams/{stream}")
    service = with_token(client, token_file or home.token(SOURCES))
    made = service.make({"name": stream, **wanted})
    return StreamClient(client.url, client.http, str(made["token"]), client.ca), made


def pieces_of(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(PIECE):
        yield piece


url_option = click.option("--url", help="Where the stream service is; the fleet's own by default.")
token_option = click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The stream's token, or for a name the service's; the fleet's own by default.",
)


@click.command("stream")
@click.argument("file", metavar="FILE|-", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--stream", "stream", required=True, help="Its id 0x…, or a name, made if need be.")
@click.option(
    "--receipts", type=click.Path(path_type=Path, file_okay=False), help="Write them here."
)
@click.option("--seconds", default=300, show_default=True, help="To wait for what is certified.")
@url_option
@token_option
@home_option
@ca_option
@json_option
def stream(
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
    """Send FILE, or standard input, and wait until all of it is certified.

    With --receipts, a receipt for each chunk is written there, with what opens it; called again
    with the same folder, it goes on where it was interrupted.
    """
    fleet = Home(home)
    client, found = find(connect(fleet, url, ca), fleet, stream, token_file)
    stream_id = str(found["stream"])
    with _open(file) as source:
        total, chunks, first, base = _feed(client, stream_id, file, source, receipts)
    windows = _wait_certified(client, stream_id, chunks, seconds)
    written = 0 if receipts is None else _write(client, stream_id, range(first, chunks), receipts)
    if as_json:
        facts = {
            "stream": stream_id,
            "bytes": total - base,
            "first": first,
            "chunks": chunks - first,
        }
        print_json({**facts, "windows": windows, "receipts": written})
        return
    console.print(f"[green]certified[/]: {total - base} bytes in {chunks - first} chunks")
    console.print(f"they are chunks {first} to {chunks - 1} of stream {stream_id}")
    if receipts is not None:
        console.print(f"{written} receipts are in {receipts}/; `dragon verify receipt` checks them")


def _open(file: Path) -> BinaryIO:
    if str(file) == "-":
        return sys.stdin.buffer
    try:
        return file.open("rb")
    except OSError as error:
        raise UnusableFile(f"{file} cannot be read: {error.strerror}") from None


def _feed(
    client: StreamClient, stream: str, file: Path, source: BinaryIO, receipts: Path | None
) -> tuple[int, int, int, int]:
    """The stream's bytes and chunks at the end, the first chunk and the bytes before it."""
    size = None if str(file) == "-" else file.stat().st_size
    begun = _begun(receipts, stream, size)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("safe", total=size)
        feeder = StreamUpload(client, stream, pieces_of(source))

        def note(total: int, _chunks: int) -> None:
            bar.update(task, completed=total - int(begun["base"]))

        if begun:
            _skip(client, stream, source, begun)
            bar.update(task, completed=source.tell() if size else 0)
        else:
            now = client.get(f"/streams/{stream}")
            begun.update(base=now["bytes"], first=now["chunks"], stream=stream, size=size)
            _keep(receipts, begun)
        feeder.progress = note
        total, chunks = feeder.run()
    return total, chunks, int(begun["first"]), int(begun["base"])


def _begun(receipts: Path | None, stream: str, size: int | None) -> dict[str, Any]:
    """What an interrupted run has left. Raises UnusableFile: it was of something else."""
    if receipts is None or not (receipts / PROGRESS).exists():
        return {}
    try:
        begun: dict[str, Any] = json.loads(read_text(receipts / PROGRESS, most=MOST_TOKEN))
        same = (begun["stream"], begun["size"]) == (stream, size)
    except (ValueError, KeyError, TypeError):
        same, begun = False, {}
    if not same:
        raise UnusableFile(f"{receipts} holds the receipts of something else")
    return begun


def _skip(client: StreamClient, stream: str, source: BinaryIO, begun: dict[str, Any]) -> None:
    """Go on in the file where the stream ends. Raises BadAnswer: it does not lie in the file."""
    done = int(str(client.get(f"/streams/{stream}")["bytes"])) - int(begun["base"])
    if begun["size"] is None or not 0 <= done <= int(begun["size"]):
        raise BadAnswer("the stream was written to by others meanwhile", reason="offset")
    source.seek(done)


def _keep(receipts: Path | None, begun: dict[str, Any]) -> None:
    if receipts is not None:
        make_folder(receipts)
        (receipts / PROGRESS).write_text(json.dumps(begun) + "\n")


def _wait_certified(client: StreamClient, stream: str, chunks: int, seconds: int) -> int:
    """Until every chunk is in a certified window; how many windows the stream has then.

    Raises NotCertified: not in time, or the stream has stopped.
    """
    ends = time.monotonic() + seconds
    while True:
        now = client.get(f"/streams/{stream}")
        certified = int(str(now["certified"]))
        if certified and _covers(client, stream, certified, chunks):
            return certified
        if now["stopped"]:
            raise NotCertified(f"the stream has stopped: {now['stopped']}")
        if time.monotonic() > ends:
            raise NotCertified(f"after {seconds} s, {certified} windows are certified, and not all")
        time.sleep(LOOK)


def _covers(client: StreamClient, stream: str, certified: int, chunks: int) -> bool:
    page = client.get(f"/streams/{stream}/windows", after=certified - 2, limit=1)
    listed = page.get("windows")
    last = listed[0] if isinstance(listed, list) and listed else None
    if not isinstance(last, dict):
        return False
    return int(str(last["first"])) + int(str(last["count"])) >= chunks


def _write(client: StreamClient, stream: str, chunks: range, folder: Path) -> int:
    """A receipt for each; those that are there already are left alone."""
    make_folder(folder)
    for sequence in chunks:
        path = folder / f"chunk-{sequence:08d}.json"
        if not path.exists():
            answer = client.get(f"/streams/{stream}/chunks/{sequence}/receipt", disclose=1)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(answer, indent=2) + "\n")
            part.replace(path)
    return len(chunks)
