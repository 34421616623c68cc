"""Access to a fleet's stream service: find or create a stream, and wait for its windows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Final

from dragon.encoding import Json, to_hex
from dragon.errors import (
    BadAnswer,
    DragonError,
    InvalidEncoding,
    InvalidReadings,
    SettingsError,
)
from dragon.net.http_client import HttpClient
from dragon.net.retries import Retries
from dragon.net.session import make_session
from dragon.net.stream_client import StreamClient
from dragon.protocol.streams.readings import Readings
from dragon.protocol.streams.receipt import MAX_RECEIPT_BYTES, Receipt
from dragon_cli.errors import UnusableFile, WrongReadings
from dragon_cli.files import make_folder, read_bytes, read_text, write_whole
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import STREAMS, Home
from dragon_cli.fleet.service_kinds import STREAM_SERVICE, check_service
from dragon_cli.hints import with_hint

DEFAULT_URL: Final = "http://127.0.0.1:5300"
MAX_TOKEN_BYTES: Final = 4096


def connect(
    home: Home, url: str | None, ca: Path | None, retries: Retries | None = None
) -> StreamClient:
    """Return a client of the stream service at `url`, else of the fleet's; it has no token yet.

    `retries` repeats requests after temporary failures; None: every failure is raised.

    Raises WrongService: another service answers at `url`. NoHome: no URL, and no fleet.
    """
    if not url:
        home.check_exists()
    found = url or home.services().get(STREAMS, DEFAULT_URL)
    trusted = ca or home.ca
    http = HttpClient(make_session(trusted))
    if url:
        check_service(http, url, STREAM_SERVICE)
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

    Raises SettingsError, PeerError, Unauthorized, NotFound. WrongReadings: a stream of this name
    has readings, and `wanted` has none.
    """
    if stream.startswith("0x"):
        if token_file is None:
            raise SettingsError("A stream id requires `--token-file`, the file of its token.")
        owner = with_token(client, token_file)
        return owner, owner.get(f"/streams/{stream}")
    if token_file is None:
        home.check_exists()
    service = with_token(client, token_file or home.sources_token(home.service_at(client.url)))
    try:
        made = service.make({"name": stream, **wanted})
    except BadAnswer as error:
        if error.facts.get("status") == HTTPStatus.CONFLICT and "readings" not in wanted:
            check_no_readings(listed(client, stream) or {})
        raise
    return replace(client, token=str(made["token"])), made


def listed(client: StreamClient, name: str) -> dict[str, Json] | None:
    """Return the description of the stream with this name, or None. Raises PeerError."""
    rows = queries.rows(client.get("/streams"), "streams")
    return next((each for each in rows if each.get("name") == name), None)


def check_no_readings(found: Mapping[str, Json]) -> None:
    """Raises WrongReadings: the messages of this stream are readings. Args: its description."""
    if readings_in(found) is not None:
        name = found.get("name")
        message = f"The stream {name} has readings: its messages are numbers, not parts of a file."
        hint = "Send a column of a CSV file with `--csv --column NAME`, or choose another stream."
        raise with_hint(WrongReadings(message), hint)


def readings_in(found: Mapping[str, Json]) -> Readings | None:
    """Return the readings in the description of a stream. Raises BadAnswer: they are malformed."""
    descriptor = found.get("descriptor")
    value = descriptor.get("readings") if isinstance(descriptor, dict) else None
    if value is None:
        return None
    try:
        return Readings.from_json(value)
    except (InvalidEncoding, InvalidReadings) as error:
        raise BadAnswer(f"the stream's readings are malformed: {error}") from None


def write_receipts(
    client: StreamClient,
    stream: str,
    chunks: range,
    folder: Path,
    report: Callable[[int, int], object] = lambda _written, _total: None,
) -> int:
    """Write the receipt of each chunk to a file, unless it exists; return the number of chunks.

    Args: `report`, called with the number of receipts that are written, and of all.

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
        report(sequence - chunks.start + 1, len(chunks))
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
