"""Making streams, and giving them data by plain requests."""

from __future__ import annotations

from typing import Annotated, Final

from flask import Response, jsonify, request

from dragon import errors
from dragon.encoding import Members
from dragon.node import app as web
from dragon.node import auth
from dragon.node.openapi import BODY_ERRORS, BODY_TOO_LARGE, PAGING_ERRORS, Routes, responses
from dragon.node.parameters import Query, integer
from dragon.protocol.claims.window import WINDOW_SETS
from dragon.protocol.streams.chunks import MAX_CHUNK_BYTES
from dragon.stark.blocks import MAX_CHUNKS
from dragon_stream import schemas
from dragon_stream.chunker import BYTES as BYTES_MODE
from dragon_stream.chunker import MESSAGE
from dragon_stream.components import Components
from dragon_stream.ingest_session import Upload
from dragon_stream.routes.paths import StreamPath, check_owner
from dragon_stream.serializers import show_stream
from dragon_stream.streams import Stream, StreamConfig

MAX_UPLOAD: Final = 1 << 20  # bytes; more comes by the socket
SHORTEST_WINDOW_MS: Final = 100
LONGEST_WINDOW_MS: Final = 3_600_000
SHORTEST_RETENTION: Final = 60  # seconds
LONGEST_RETENTION: Final = 315_360_000


class DataQuery(Query):
    offset: Annotated[int | None, integer()] = None


def making(own: Components) -> Routes:
    routes = Routes("making", __name__)

    @routes.post(
        "/streams",
        request_body=routes.request_body(schemas.NewStream),
        responses={
            **responses(schemas.MadeStream, status=200),
            **responses(
                schemas.MadeStream,
                *BODY_ERRORS,
                errors.Unauthorized,
                errors.AlreadyMade,
                errors.Busy,
                status=201,
            ),
            **BODY_TOO_LARGE,
        },
    )
    def make() -> tuple[Response, int]:
        """A new stream and its token; the same again for the same wish. Needs its token."""
        auth.check(auth.is_same(own.token), "making a stream needs the token of this service")
        wanted = _wanted(Members(web.body(), "the stream"))
        stream, new = own.streams.make(wanted)
        told = {"token": stream.keys.token, "warnings": warnings(wanted)}
        return jsonify(show_stream(own, stream) | told), 201 if new else 200

    @routes.post(
        "/streams/<stream>/data",
        request_body=routes.binary_body(),
        responses={
            **responses(
                schemas.Taken,
                *PAGING_ERRORS,
                errors.InvalidHex,
                errors.TooLarge,
                errors.Unauthorized,
                errors.NotFound,
                errors.WrongOffset,
                errors.StreamStopped,
                errors.Busy,
                errors.Overdue,
            ),
            **BODY_TOO_LARGE,
        },
    )
    def upload(path: StreamPath, query: DataQuery) -> Response:
        """Take the body as data; it would survive a crash when this answers. Needs the stream's
        token. With `offset` it is taken only if the stream has just so many bytes."""
        stream = own.streams.get(path.stream)
        check_owner(stream)
        request.max_content_length = MAX_UPLOAD
        body = web.raw_body()
        if not own.pipeline.has_room(stream):
            raise errors.Busy("as many windows wait to be certified as may")
        return jsonify(_take(stream, body, query.offset))

    return routes


def _take(stream: Stream, body: bytes, offset: int | None) -> dict[str, object]:
    source, intake = Upload(), stream.intake
    _check_offset(offset, intake.total)  # before it takes the stream over from anybody
    before, total = intake.attach(source)
    try:
        _check_offset(offset, total)
        intake.feed(source, body, finished=True)
        intake.wait_for(intake.flush(source))
    finally:
        intake.detach(source)
    chunks = intake.sequence - before
    return {"sequence": intake.sequence, "bytes": intake.total, "chunks": chunks}


def _check_offset(offset: int | None, total: int) -> None:
    if offset not in {None, total}:
        message = f"the stream has {total} bytes, and this begins at {offset}"
        raise errors.WrongOffset(message, bytes=total)


def _wanted(members: Members) -> StreamConfig:
    def number(name: str, default: int, least: int, most: int) -> int:
        return members.integer(name, least=least, most=most) if name in members else default

    def word(name: str, words: list[str]) -> str:
        return members.word(name, words) if name in members else words[0]

    wanted = StreamConfig(
        members.id("name"),
        word("parameters", list(WINDOW_SETS)),
        number("chunk_bytes", MAX_CHUNK_BYTES, 1, MAX_CHUNK_BYTES),
        number("window_chunks", 63, 1, MAX_CHUNKS),
        number("window_ms", 5000, SHORTEST_WINDOW_MS, LONGEST_WINDOW_MS),
        word("mode", [BYTES_MODE, MESSAGE]),
        number("retention_seconds", 86_400, SHORTEST_RETENTION, LONGEST_RETENTION),
    )
    members.end()
    return wanted


def warnings(wanted: StreamConfig) -> list[str]:
    """What costs more than it has to."""
    chunks = wanted.window_chunks
    blocks = 1 << chunks.bit_length()
    if chunks + 1 == blocks:
        return []
    message = (
        f"a window of {chunks} chunks is proven like one of {blocks - 1}: "
        f"{blocks - 1 - chunks} of {blocks} blocks are padding"
    )
    return [message]
