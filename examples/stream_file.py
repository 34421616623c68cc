"""Stream a file, then save and verify a receipt for each chunk.

    python examples/stream_file.py readings.txt fleet [URL]

The stream is named after the file. Run the program again after an interruption: it compares the
file with the data that the stream has, and continues where the stream ends. URL is the stream
service's address (default: http://127.0.0.1:5300).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from dragon import (
    Committee,
    HttpClient,
    Receipt,
    StreamClient,
    StreamUpload,
    is_complete,
    verify_receipt,
)
from dragon.errors import NotFound
from dragon.net.stored_data import stored_part

PIECE_BYTES = 64 * 1024
POLL_SECONDS = 0.5


def pieces(file: Path, done: int) -> Iterator[bytes]:
    """The file from byte `done` on."""
    with file.open("rb") as source:
        source.seek(done)
        while piece := source.read(PIECE_BYTES):
            yield piece


def open_stream(url: str, name: str, fleet: Path) -> tuple[StreamClient, str]:
    """A client with the token of the stream of that name, which is created if it does not exist."""
    ca = fleet / "ca.crt" if url.startswith("https") else None
    http = HttpClient.create(ca)
    service_token = (fleet / "keys/sources/token").read_text().strip()
    made = StreamClient(url, http, service_token, ca).make({"name": name})
    return StreamClient(url, http, made["token"], ca), made["stream"]


def wait_certified(client: StreamClient, stream: str, chunks: int) -> None:
    """Until the window of the last chunk is certified."""
    while (state := chunk_state(client, stream, chunks - 1)) != "certified":
        if state == "invalid":
            sys.exit("a majority of operators found the window invalid")
        time.sleep(POLL_SECONDS)


def chunk_state(client: StreamClient, stream: str, sequence: int) -> str:
    try:
        return str(client.get(f"/streams/{stream}/chunks/{sequence}")["state"])
    except NotFound:  # its window is still open
        return "waiting"


def main(file: str, fleet: str, url: str = "http://127.0.0.1:5300") -> None:
    path, home = Path(file), Path(fleet)
    committee = Committee.load((home / "committee.json").read_bytes())
    client, stream = open_stream(url, path.stem, home)

    with path.open("rb") as source:
        part = stored_part(client, stream, source, path.stat().st_size)
    if part.differs:
        sys.exit(f"the stream has other data than the file from byte {part.bytes} on")
    done = part.bytes
    upload = StreamUpload(client, stream, pieces(path, done), base=done)
    total, chunks = upload.run()
    print(f"{total} bytes in {chunks} chunks are on the service's disk")

    wait_certified(client, stream, chunks)
    for sequence in range(chunks):
        answer = client.get(f"/streams/{stream}/chunks/{sequence}/receipt", disclose=1)
        checks = verify_receipt(Receipt.from_json(answer), committee)
        saved = Path(f"{path.stem}-{sequence:08d}.json")
        saved.write_text(json.dumps(answer))
        print(f"{saved}: verified{'' if is_complete(checks) else ', without checkpoint yet'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
