"""Creating and reading streams, and uploading data with a plain request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from flask import Response, jsonify, request

from dragon import errors
from dragon.encoding import Members
from dragon.node import app as web
from dragon.node import auth
from dragon.node.openapi import (
    BODY_ERRORS,
    BODY_TOO_LARGE,
    PAGING_ERRORS,
    REQUIRES_TOKEN,
    Routes,
    responses,
)
from dragon.node.parameters import NoParameters, Query, integer
from dragon.protocol.claims.window import WINDOW_SETS
from dragon.protocol.streams.chunks import MAX_CHUNK_BYTES
from dragon.protocol.streams.readings import Readings
from dragon.stark.blocks import MAX_CHUNKS
from dragon_stream import schemas
from dragon_stream.archive.room import FULL
from dragon_stream.chunker import BYTES_MODE, MESSAGE_MODE
from dragon_stream.components import Components
from dragon_stream.ingest_session import Upload
from dragon_stream.routes.paths import StreamPath, check_owner, has_stream_token
from dragon_stream.schemas import (
    MAX_RETENTION_SECONDS,
    MAX_WINDOW_MS,
    MIN_RETENTION_SECONDS,
    MIN_WINDOW_MS,
)
from dragon_stream.serializers import stream_to_json
from dragon_stream.streams import Stream, StreamConfig

MAX_UPLOAD_BYTES: Final = 1 << 20  # body of an upload; larger data goes through the WebSocket


class DataQuery(Query):
    offset: Annotated[int | None, integer()] = None


def routes(components: Components) -> Routes:
    api = Routes("streams", __name__)
    _add_reading(api, components)
    _add_writing(api, components)
    return api


def _add_reading(api: Routes, components: Components) -> None:
    @api.get("/streams", responses=responses(schemas.Streams, errors.UnknownMember))
    def list_streams(query: NoParameters) -> Response:
        """List the streams of this service.

        Without the service's token, `bytes` of streams with readings is null.
        """
        owner = auth.is_same(components.token)(auth.token_of_request())
        streams = components.streams.all()
        listed = [stream_to_json(components, stream, for_owner=owner) for stream in streams]
        return jsonify(streams=listed)

    @api.get(
        "/streams/<stream>",
        responses=responses(
            schemas.Stream, errors.UnknownMember, errors.InvalidHex, errors.NotFound
        ),
    )
    def get_stream(path: StreamPath, query: NoParameters) -> Response:
        """Get a stream: its settings, descriptor and progress.

        Without the stream's token, `bytes` of a stream with readings is null.
        """
        stream = components.streams.get(path.stream)
        return jsonify(stream_to_json(components, stream, for_owner=has_stream_token(stream)))


def _add_writing(api: Routes, components: Components) -> None:
    @api.post(
        "/streams",
        security=REQUIRES_TOKEN,
        request_body=api.request_body(schemas.NewStream),
        responses={
            **responses(schemas.CreatedStream, status=200),
            **responses(
                schemas.CreatedStream,
                *BODY_ERRORS,
                errors.Unauthorized,
                errors.AlreadyMade,
                errors.InvalidReadings,
                errors.Busy,
                status=201,
            ),
            **BODY_TOO_LARGE,
        },
    )
    def create_stream() -> tuple[Response, int]:
        """Create a stream and get its token. Requires the service's token.

        The same request returns the same stream again, with status 200.
        """
        auth.check(auth.is_same(components.token), "creating a stream requires the service's token")
        config = _read_config(Members(web.body(), "the stream"))
        stream, new = components.streams.create(config)
        secrets = {"token": stream.keys.token, "warnings": warnings(config)}
        shown = stream_to_json(components, stream, for_owner=True)
        return jsonify(shown | secrets), 201 if new else 200

    @api.post(
        "/streams/<stream>/data",
        security=REQUIRES_TOKEN,
        request_body=api.binary_body(),
        responses={
            **responses(
                schemas.Accepted,
                *PAGING_ERRORS,
                errors.InvalidHex,
                errors.TooLarge,
                errors.MessageTooLong,
                errors.Unauthorized,
                errors.NotFound,
                errors.WrongOffset,
                errors.StreamStopped,
                errors.StreamDamaged,
                errors.Busy,
                errors.Overdue,
                errors.DiskFull,
                errors.DiskFailed,
            ),
            **BODY_TOO_LARGE,
        },
    )
    def upload(path: StreamPath, query: DataQuery) -> Response:
        """Append the body to the stream; the response means it is on disk. Requires its token.

        With `offset` the body is accepted only if the stream has exactly that many bytes, so that a
        request can be repeated safely.
        """
        stream = components.streams.get(path.stream)
        check_owner(stream)
        request.max_content_length = MAX_UPLOAD_BYTES
        body = web.raw_body()
        if not components.room.is_free():
            raise errors.Busy(f"{FULL}; try again")
        if not components.pipeline.has_capacity(stream):
            raise errors.Busy("too many windows of this stream wait to be certified; try again")
        return jsonify(_append(stream, body, query.offset))


def _append(stream: Stream, body: bytes, offset: int | None) -> dict[str, object]:
    source, chunker = Upload(), stream.chunker
    _check_offset(offset, chunker.total)  # a wrong offset must not replace another source
    before, total = chunker.attach(source)
    try:
        _check_offset(offset, total)
        chunker.feed(source, body, finished=True)
        chunker.wait_for(chunker.flush(source), lambda: source.is_lost)
        source.check()
    except errors.StreamStopped:
        source.check()  # the disk failed between two pieces: not final
        raise
    finally:
        chunker.detach(source)
    chunks = chunker.sequence - before
    return {"sequence": chunker.sequence, "bytes": chunker.total, "chunks": chunks}


def _check_offset(offset: int | None, total: int) -> None:
    if offset not in {None, total}:
        message = f"the offset is {offset}, but the stream has {total} bytes"
        raise errors.WrongOffset(message, bytes=total)


def _read_config(members: Members) -> StreamConfig:
    def number(name: str, default: int, least: int, most: int) -> int:
        return members.integer(name, least=least, most=most) if name in members else default

    def word(name: str, words: list[str]) -> str:
        return members.word(name, words) if name in members else words[0]

    def size(most: int) -> int | None:
        """The chunks of every window; null, or absent, leaves them to the rate."""
        if members.take_null("window_chunks") or "window_chunks" not in members:
            return None
        return members.integer("window_chunks", least=1, most=most)

    readings = Readings.from_json(members.take("readings")) if "readings" in members else None
    limits = _limits(readings)
    config = StreamConfig(
        members.id("name"),
        word("parameters", list(WINDOW_SETS)),
        number(
            "chunk_bytes", limits.chunk_bytes[-1], limits.chunk_bytes[0], limits.chunk_bytes[-1]
        ),
        size(limits.most_chunks),
        number("window_ms", 5000, MIN_WINDOW_MS, MAX_WINDOW_MS),
        word("mode", limits.modes),
        number("retention_seconds", 86_400, MIN_RETENTION_SECONDS, MAX_RETENTION_SECONDS),
        readings,
    )
    members.end()
    return config


@dataclass(frozen=True, slots=True)
class _Limits:
    """The settings that a stream may have."""

    modes: list[str]  # the first one is the default
    chunk_bytes: range  # the last one is the default
    most_chunks: int  # of a window


def _limits(readings: Readings | None) -> _Limits:
    """With readings, one message is one chunk and one reading, and all chunks state one length."""
    if readings is None:
        whole = range(1, MAX_CHUNK_BYTES + 1)
        return _Limits([BYTES_MODE, MESSAGE_MODE], whole, MAX_CHUNKS)
    most = readings.most_chunks(readings.carry)
    return _Limits([MESSAGE_MODE], range(readings.length, readings.length + 1), most)


def warnings(config: StreamConfig) -> list[str]:
    """Warn of settings that cost more than necessary."""
    carried = config.readings is not None and config.readings.carry
    size = config.sizes().sizes[0]  # the larger ones are filled to the last block
    chunks = size + carried  # all but the first window carry one
    blocks = 1 << chunks.bit_length()
    if chunks + 1 == blocks:
        return []
    message = (
        f"a window of {size} chunks costs as much as one of {blocks - 1 - carried}:"
        f" {blocks - 1 - chunks} of its {blocks} blocks are padding"
    )
    return [message]
