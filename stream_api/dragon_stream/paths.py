"""What routes name in their paths, and who may go there."""

from __future__ import annotations

from typing import Annotated

from dragon.web import bearer
from dragon.web.forms import Form
from dragon.web.query import integer
from dragon.web.streams import HASH
from dragon_stream.streams import Stream


class StreamPath(Form):
    stream: Annotated[bytes, HASH]


class WindowPath(StreamPath):
    number: Annotated[int, integer()]


class ChunkPath(StreamPath):
    sequence: Annotated[int, integer()]


def check_owner(stream: Stream) -> None:
    """Raises Unauthorized: the caller does not show the stream's token."""
    bearer.check(stream.keys.is_token, "that needs the token of the stream")
