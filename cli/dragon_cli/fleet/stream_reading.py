"""Reading a stream's state from its service: no token is needed. Answers are not verified."""

from __future__ import annotations

from pathlib import Path

from dragon.encoding import Json, from_hex, to_hex
from dragon.errors import NotFound
from dragon.net.stream_client import StreamClient
from dragon.protocol.merkle import HASH_BYTES
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.stream_services import ServiceAt
from dragon_cli.hints import with_hint

MAX_PAGES = 1024  # of windows; a page has up to 1,000
PAGE_SIZE = 1000


def open_stream(
    home: Home, at: ServiceAt, ca: Path | None, stream: str
) -> tuple[StreamClient, str]:
    """Return a client of the stream's service, and the id of a stream given by id or name.

    Raises NotFound: no stream has this name. InvalidHex, PeerError, and as `ServiceAt.client`.
    """
    if stream.startswith("0x"):
        stream = to_hex(from_hex(stream, member="STREAM", size=HASH_BYTES))
        return at.client(home, ca, stream), stream
    client = at.client(home, ca, stream)
    listed = queries.rows(client.get("/streams"), "streams")
    found = [str(each.get("stream")) for each in listed if each.get("name") == stream]
    if not found:
        names = ", ".join(sorted(str(each.get("name")) for each in listed)) or "none"
        missing = NotFound(f"The service has no stream {stream!a}; its streams: {names}.")
        raise with_hint(missing, "")
    return client, found[0]


def all_windows(client: StreamClient, stream: str) -> list[dict[str, Json]]:
    """Return the closed windows of a stream, oldest first. Raises PeerError, NotFound."""
    found: list[dict[str, Json]] = []
    after = -1
    for _ in range(MAX_PAGES):
        page = client.get(f"/streams/{stream}/windows", after=after, limit=PAGE_SIZE)
        found += queries.rows(page, "windows")
        following = page.get("next")
        if not isinstance(following, int) or following <= after:
            break
        after = following
    return found
