"""Path parameters of the routes, and the check of the stream's token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from dragon.errors import NotFound
from dragon.node import auth
from dragon.node.parameters import Parameters, integer
from dragon.node.routes.streams import HASH_PARAMETER
from dragon_stream.components import Components
from dragon_stream.streams import Stream

_OF_STREAM: Final = re.compile(r"/streams/(0x[0-9a-f]{64})/.+", re.ASCII)
_SOCKET: Final = re.compile(r"/streams/[^/]+/(ingest|events)", re.ASCII)


def is_owner(components: Components, environ: Mapping[str, Any]) -> bool:
    """Whether a request has the service's token, or the token of the stream that it names."""
    if auth.has_token(environ, auth.is_same(components.token)):
        return True
    if (found := _OF_STREAM.fullmatch(environ["PATH_INFO"])) is None:
        return False
    try:
        stream = components.streams.get(bytes.fromhex(found[1][2:]))
    except NotFound:
        return False
    return auth.has_token(environ, stream.keys.is_token)


def is_socket(environ: Mapping[str, Any]) -> bool:
    """Whether a request is one for a WebSocket."""
    return _SOCKET.fullmatch(environ["PATH_INFO"]) is not None


class StreamPath(Parameters):
    stream: Annotated[bytes, HASH_PARAMETER]


class WindowPath(StreamPath):
    number: Annotated[int, integer()]


class ChunkPath(StreamPath):
    sequence: Annotated[int, integer()]


def has_stream_token(stream: Stream) -> bool:
    """Whether the request carries the stream's token."""
    return stream.keys.is_token(auth.token_of_request())


def check_owner(stream: Stream) -> None:
    """Raises Unauthorized: the request does not carry the stream's token."""
    auth.check(stream.keys.is_token, "this request requires the token of the stream")
