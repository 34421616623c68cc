"""What routes name in their paths, and who may go there."""

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


def check_owner(stream: Stream) -> None:
    """Raises Unauthorized: the caller does not show the stream's token."""
    auth.check(stream.keys.is_token, "that needs the token of the stream")
