"""Path parameters of the routes, and the check of the stream's token."""

from __future__ import annotations

from typing import Annotated

from dragon.node import auth
from dragon.node.parameters import integer
from dragon.node.routes.streams import HASH_PARAMETER
from dragon.node.schemas import Schema
from dragon_stream.streams import Stream


class StreamPath(Schema):
    stream: Annotated[bytes, HASH_PARAMETER]


class WindowPath(StreamPath):
    number: Annotated[int, integer()]


class ChunkPath(StreamPath):
    sequence: Annotated[int, integer()]


def is_owner(stream: Stream) -> bool:
    """Whether the request carries the stream's token."""
    return stream.keys.is_token(auth.token_of_request())


def check_owner(stream: Stream) -> None:
    """Raises Unauthorized: the request does not carry the stream's token."""
    auth.check(stream.keys.is_token, "this request requires the token of the stream")
