"""A client with the token of a stream that exists, for its owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from dragon.encoding import Json, to_hex
from dragon.errors import BadAnswer, Unauthorized
from dragon.net.stream_client import StreamClient
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.stream_services import ServiceAt
from dragon_cli.fleet.streams import with_token
from dragon_cli.hints import with_hint

# Members of a stream's description that its creation takes, too.
SETTINGS: Final[Sequence[str]] = (
    "name", "chunk_bytes", "window_chunks", "window_ms", "mode", "retention_seconds",
)  # fmt: skip
OWNER_HINT: Final = "`--token-file` names the file with the token of the stream."


def owner_client(
    home: Home, at: ServiceAt, ca: Path | None, stream: bytes, token_file: Path | None
) -> tuple[StreamClient, str]:
    """Return a client with the stream's own token, and the stream's id.

    Args: `token_file`, that of the stream; None: the fleet's token of its stream service, with
        which the service states the stream's token again.

    Raises SettingsError, PeerError, NotFound; Unauthorized: the stream is not the fleet's. And as
    `ServiceAt.client`.
    """
    stream_id = to_hex(stream)
    client = at.client(home, ca, stream_id)
    if token_file is not None:
        return with_token(client, token_file), stream_id
    described = client.get(f"/streams/{stream_id}")
    service = with_token(client, home.sources_token(home.service_at(client.url)))
    descriptor = described.get("descriptor")
    if not isinstance(descriptor, dict):
        raise BadAnswer("the stream's description has no descriptor")
    wanted: dict[str, Json] = {name: described[name] for name in SETTINGS if name in described}
    wanted["parameters"] = descriptor.get("parameters")
    if "readings" in descriptor:
        wanted["readings"] = descriptor["readings"]
    try:
        made = service.make(wanted)
    except Unauthorized as error:
        raise with_hint(error, OWNER_HINT) from None
    if made.get("stream") != stream_id:
        raise BadAnswer(f"the service describes another stream than {stream_id}")
    return replace(client, token=str(made.get("token"))), stream_id
