"""Access to a fleet's stream service: find or create a stream, and wait for its windows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from dragon.encoding import Json, to_hex
from dragon.errors import DragonError, NotCertified, SettingsError
from dragon.net.http_client import HttpClient
from dragon.net.retries import Retries
from dragon.net.session import make_session
from dragon.net.stream_client import StreamClient
from dragon.protocol.streams.receipt import MAX_RECEIPT_BYTES, Receipt
from dragon_cli.errors import UnusableFile
from dragon_cli.files import make_folder, read_bytes, read_text, write_whole
from dragon_cli.fleet.layout import SOURCES, STREAMS, Home
from dragon_cli.hints import with_hint

DEFAULT_URL: Final = "http://127.0.0.1:5300"
MAX_TOKEN_BYTES: Final = 4096
POLL_SECONDS: Final = 0.3


def connect(
    home: Home, url: str | None, ca: Path | None, retries: Retries | None = None
) -> StreamClient:
    """Return a client of the stream service at `url`, else of the fleet's; it has no token yet.

    `retries` repeats requests after temporary failures; None: every failure is raised.
    """
    found = url or home.services().get(STREAMS, DEFAULT_URL)
    trusted = ca or home.ca
    http = HttpClient(make_session(trusted))
    return StreamClient(found.rstrip("/"), http, ca=trusted, retries=retries)


def with_token(client: StreamClient, path: Path) -> StreamClient:
    """Return the client with the token in a file. Raises SettingsError: no token there."""
    token = read_text(path, most=MAX_TOKEN_BYTES).strip() if path.is_file() else ""
    if not token:
        raise SettingsError(f"{path} does not exist or contains no token.")
    return replace(client, token=token)


def find(
    client: StreamClient, home: Home, stream: str, token_file: Path | None, **wanted: Json
) -> tuple[StreamClient, dict[str, Json]]:
    """Return a client with the stream's own token, and the description of the stream.

    Args:
        client: without a token.
        home: the folder of the fleet.
        stream: an id (0x…); or a name, and the stream is created if it does not exist.
        token_file: for an id the stream's token, for a name the service's (default: the fleet's).
        wanted: the properties of a stream that is created.

    Raises SettingsError, PeerError, Unauthorized, NotFound.
    """
    if stream.startswith("0x"):
        if token_file is None:
            raise SettingsError("A stream id requires `--token-file`, the file of its token.")
        owner = with_token(client, token_file)
        return owner, owner.get(f"/streams/{stream}")
    service = with_token(client, token_file or home.token(SOURCES))
    made = service.make({"name": stream, **wanted})
    return replace(client, token=str(made["token"])), made


def wait_certified(
    client: StreamClient,
    stream: str,
    chunks: int,
    seconds: int,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> int:
    """Wait until certified windows cover the first `chunks` chunks; return their number.

    Raises NotCertified: not within `seconds`, or the stream has stopped.
    """
    ends = monotonic() + seconds
    while True:
        now = client.get(f"/streams/{stream}")
        certified = int(str(now["certified"]))
        if certified and _covers(client, stream, certified, chunks):
            return certified
        if now["stopped"]:
            raise with_hint(NotCertified(f"The stream has stopped: {now['stopped']}."), "")
        if monotonic() > ends:
            raise with_hint(NotCertified(_incomplete(now, certified, seconds)), "")
        sleep(POLL_SECONDS)


def _incomplete(now: dict[str, Json], certified: int, seconds: int) -> str:
    return (
        f"Upload complete. {certified} of {now['windows']} windows certified after {seconds} s; "
        "run the same command again to keep waiting."
    )


def _covers(client: StreamClient, stream: str, certified: int, chunks: int) -> bool:
    page = client.get(f"/streams/{stream}/windows", after=certified - 2, limit=1)
    listed = page.get("windows")
    last = listed[0] if isinstance(listed, list) and listed else None
    if not isinstance(last, dict):
        return False
    return int(str(last["first"])) + int(str(last["count"])) >= chunks


def write_receipts(client: StreamClient, stream: str, chunks: range, folder: Path) -> int:
    """Write the receipt of each chunk to a file, unless it exists; return the number of chunks.

    Raises UnusableFile: a file of this name is not the receipt of the chunk, or cannot be written.
    """
    make_folder(folder)
    for sequence in chunks:
        path = folder / f"chunk-{sequence:08d}.json"
        if path.exists():
            _check_receipt(path, stream, sequence)
        else:
            answer = client.get(f"/streams/{stream}/chunks/{sequence}/receipt", disclose=1)
            write_whole(path, json.dumps(answer, indent=2) + "\n")
    return len(chunks)


def _check_receipt(path: Path, stream: str, sequence: int) -> None:
    """Raises UnusableFile: the file is not the receipt of this chunk."""
    try:
        held = Receipt.decode(read_bytes(path, most=MAX_RECEIPT_BYTES))
        same = (to_hex(held.header.stream), held.chunk.sequence) == (stream, sequence)
    except DragonError:
        same = False
    if not same:
        message = f"{path} exists and is not the receipt of chunk {sequence} of stream {stream}."
        raise with_hint(UnusableFile(message), "Choose another folder with `--receipts`.")
