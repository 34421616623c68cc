"""The stream service's face: HTTP and WebSockets in, nothing decided here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from flask import Response, jsonify, request
from flask_openapi3.openapi import OpenAPI
from prometheus_client.metrics_core import Metric

from dragon import errors
from dragon.committee import Committee
from dragon.encoding import Members, to_hex
from dragon.log.follow import Follower
from dragon.log.repository import Log
from dragon.log.rows import StreamRecords
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stream.chunks import MAX_CHUNK_BYTES
from dragon.stream_claim import WINDOW_SETS
from dragon.web import app as web
from dragon.web import bearer, metrics, records
from dragon.web.forms import Form
from dragon.web.metrics import Reading
from dragon.web.openapi import BODY, PAGE, TOO_LARGE, Routes, answers
from dragon.web.query import Nothing, Query, integer
from dragon.web.streams import BYTES, HASH, MOST_SHOWN, endorsements
from dragon.web.websocket import Sockets
from dragon_stream import forms
from dragon_stream.events import Events
from dragon_stream.ingest import Upload
from dragon_stream.intake import BYTES as BYTES_MODE
from dragon_stream.intake import MESSAGE, Writer
from dragon_stream.pipeline import Pipeline
from dragon_stream.receipts import Receipts
from dragon_stream.sockets_app import add_sockets
from dragon_stream.store import State, Store, WindowHead, WindowRow
from dragon_stream.streams import Stream, Streams, Wanted

MAX_UPLOAD: Final = 1 << 20  # bytes; more comes by the socket
SHORTEST_WINDOW_MS: Final = 100
LONGEST_WINDOW_MS: Final = 3_600_000
SHORTEST_RETENTION: Final = 60  # seconds
LONGEST_RETENTION: Final = 315_360_000


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What a stream service's app is built around."""

    committee: Committee
    token: str = field(repr=False)
    streams: Streams
    store: Store
    writer: Writer
    pipeline: Pipeline
    events: Events
    sockets: Sockets
    receipts: Receipts
    log: Log
    records: StreamRecords
    follower: Follower


class StreamPath(Form):
    stream: Annotated[bytes, HASH]


class WindowPath(StreamPath):
    number: Annotated[int, integer()]


class ChunkPath(StreamPath):
    sequence: Annotated[int, integer()]


class WindowsQuery(Query):
    after: Annotated[int, integer(-1)] = -1
    limit: Annotated[int, integer(1, web.MAX_PAGE)] = 100


class ReceiptQuery(Query):
    disclose: Annotated[int, integer(0, 1)] = 0
    proof: Annotated[int, integer(0, 1)] = 0


class DataQuery(Query):
    offset: Annotated[int | None, integer()] = None


def create_app(own: Collaborators) -> OpenAPI:
    """Build the app around what it needs. Nothing here reads a file or the environment."""
    app = web.create(
        "dragon_stream",
        lambda: _not_ready(own),
        title="DataDragon stream service",
        collectors=[own.pipeline.counter, Reading(lambda: _metrics(own))],
    )
    app.register_api(_making(own))
    app.register_api(_reading(own))
    app.register_api(records.routes(own.committee, own.log))
    add_sockets(app, own.sockets, own.streams, own.pipeline, own.events)
    return app


def _not_ready(own: Collaborators) -> Iterator[str]:
    if alarm := own.log.alarm():
        yield f"alarm: {alarm.reason}: {alarm.detail}"
    elif not own.follower.caught_up:
        yield f"ledger: {own.follower.trouble or 'not read to its end'}"
    if own.pipeline.prover_trouble:
        yield f"prover: {own.pipeline.prover_trouble}"
    if own.pipeline.aggregator_trouble:
        yield f"aggregator: {own.pipeline.aggregator_trouble}"
    for stream in own.streams.all():
        if stream.intake.trouble:
            yield f"stream: {stream.row.name}: {stream.intake.trouble}"


def _metrics(own: Collaborators) -> Iterator[Metric]:
    yield from metrics.of_log(own.log, own.follower)
    streams = own.streams.all()
    waiting = sum(own.pipeline.waiting(stream.id) for stream in streams)
    yield metrics.gauge("stream_windows_waiting", "Windows that the log does not have.", waiting)
    chunks = sum(stream.intake.sequence for stream in streams)
    yield metrics.gauge("stream_chunks", "Chunks that were accepted.", chunks)
    size = sum(stream.intake.total for stream in streams)
    yield metrics.gauge("stream_bytes", "Bytes that were accepted.", size)
    yield metrics.gauge("stream_sockets", "Open WebSockets.", len(own.sockets))


def check_owner(stream: Stream) -> None:
    """Raises Unauthorized: the caller does not show the stream's token."""
    bearer.check(stream.keys.is_token, "that needs the token of the stream")


# -- making streams, and giving them data ---------------------------------------------------------


def _making(own: Collaborators) -> Routes:
    routes = Routes("making", __name__)

    @routes.post(
        "/streams",
        openapi_extensions=routes.takes(forms.NewStream),
        responses={
            **answers(forms.MadeStream, status=200),
            **answers(
                forms.MadeStream,
                *BODY,
                errors.Unauthorized,
                errors.AlreadyMade,
                errors.Busy,
                status=201,
            ),
            **TOO_LARGE,
        },
    )
    def make() -> tuple[Response, int]:
        """A new stream and its token; the same again for the same wish. Needs its token."""
        bearer.check(bearer.is_same(own.token), "making a stream needs the token of this service")
        wanted = _wanted(Members(web.body(), "the stream"))
        stream, new = own.streams.make(wanted)
        made = {**_stream(own, stream), "token": stream.keys.token, "warnings": warnings(wanted)}
        return jsonify(made), 201 if new else 200

    @routes.post(
        "/streams/<stream>/data",
        openapi_extensions=routes.takes_bytes(),
        responses={
            **answers(
                forms.Taken,
                *PAGE,
                errors.InvalidHex,
                errors.TooLarge,
                errors.Unauthorized,
                errors.NotFound,
                errors.WrongOffset,
                errors.StreamStopped,
                errors.Busy,
                errors.Overdue,
            ),
            **TOO_LARGE,
        },
    )
    def upload(path: StreamPath, query: DataQuery) -> Response:
        """Take the body as data; it would survive a crash when this answers. Needs the stream's
        token. With `offset` it is taken only if the stream has just so many bytes."""
        stream = own.streams.get(path.stream)
        check_owner(stream)
        request.max_content_length = MAX_UPLOAD
        body = web.raw_body()
        if not own.pipeline.has_room(stream.id):
            raise errors.Busy("as many windows wait to be certified as may")
        return jsonify(_take(stream, body, query.offset))

    return routes


def _take(stream: Stream, body: bytes, offset: int | None) -> dict[str, object]:
    source, intake = Upload(), stream.intake
    before, total = intake.attach(source)
    try:
        if offset not in {None, total}:
            message = f"the stream has {total} bytes, and this begins at {offset}"
            raise errors.WrongOffset(message, bytes=total)
        intake.feed(source, body, finished=True)
        intake.wait_for(intake.flush(source))
    finally:
        intake.detach(source)
    chunks = intake.sequence - before
    return {"sequence": intake.sequence, "bytes": intake.total, "chunks": chunks}


def _wanted(members: Members) -> Wanted:
    def number(name: str, default: int, least: int, most: int) -> int:
        return members.integer(name, least=least, most=most) if name in members else default

    def word(name: str, words: list[str]) -> str:
        return members.word(name, words) if name in members else words[0]

    wanted = Wanted(
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


def warnings(wanted: Wanted) -> list[str]:
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


# -- what is known of them ------------------------------------------------------------------------


def _reading(own: Collaborators) -> Routes:
    routes = Routes("reading", __name__)

    @routes.get("/streams", responses=answers(forms.Streams, errors.UnknownMember))
    def streams(query: Nothing) -> Response:
        """The streams of this service."""
        return jsonify(streams=[_stream(own, stream) for stream in own.streams.all()])

    @routes.get("/streams/<stream>", responses=answers(forms.Stream, *_FIND))
    def stream(path: StreamPath, query: Nothing) -> Response:
        """One stream, its descriptor and how far it has come."""
        return jsonify(_stream(own, own.streams.get(path.stream)))

    @routes.get("/streams/<stream>/windows", responses=answers(forms.Windows, *PAGE, *_FIND[1:]))
    def windows(path: StreamPath, query: WindowsQuery) -> Response:
        """Its closed windows, oldest first."""
        stream_ = own.streams.get(path.stream)
        heads = own.store.heads(stream_.id, query.after, query.limit)
        more = len(heads) == query.limit
        return jsonify(
            windows=[_head(head) for head in heads], next=heads[-1].number if more else None
        )

    @routes.get(
        "/streams/<stream>/windows/<number>",
        responses=answers(forms.Window, *_FIND, errors.NotAnInteger, errors.IntegerOutOfRange),
    )
    def window(path: WindowPath, query: Nothing) -> Response:
        """One window: its header, what each operator said, its event, what experts say of it."""
        stream_ = own.streams.get(path.stream)
        row = own.store.window(stream_.id, path.number)
        if row is None:
            raise errors.NotFound(f"the stream has no closed window {path.number}")
        return jsonify(_window(own, row))

    @routes.get(
        "/streams/<stream>/chunks/<sequence>",
        responses=answers(forms.Chunk, *_FIND, errors.NotAnInteger, errors.IntegerOutOfRange),
    )
    def chunk(path: ChunkPath, query: Nothing) -> Response:
        """What everybody may know of a chunk."""
        row, header = own.receipts.chunk(own.streams.get(path.stream), path.sequence)
        place = {"stream": to_hex(row.stream), "window": row.number, "state": str(row.state)}
        return jsonify({**place, **header.to_json()})

    @routes.get(
        "/streams/<stream>/chunks/<sequence>/data",
        responses={
            **answers(
                forms.Chunk,
                *_FIND,
                errors.NotAnInteger,
                errors.IntegerOutOfRange,
                errors.Unauthorized,
            ),
            200: _OF_BYTES,
        },
    )
    def data(path: ChunkPath, query: Nothing) -> Response:
        """The data of a chunk, while it is kept. Needs the stream's token."""
        stream_ = own.streams.get(path.stream)
        check_owner(stream_)
        return Response(own.receipts.data(stream_, path.sequence), mimetype=BYTES)

    @routes.get(
        "/streams/<stream>/chunks/<sequence>/receipt",
        responses=answers(
            forms.Receipt,
            *_FIND,
            errors.NotAnInteger,
            errors.IntegerOutOfRange,
            errors.Unauthorized,
        ),
    )
    def receipt(path: ChunkPath, query: ReceiptQuery) -> Response:
        """What anyone can check offline, with the window's proof if asked. With `disclose` it opens
        this chunk's commitment, and no other's; that needs the stream's token."""
        stream_ = own.streams.get(path.stream)
        if query.disclose:
            check_owner(stream_)
        found = own.receipts.receipt(
            stream_, path.sequence, disclose=bool(query.disclose), with_proof=bool(query.proof)
        )
        return jsonify(found.to_json())

    return routes


_FIND: Final = (errors.UnknownMember, errors.InvalidHex, errors.NotFound)
_OF_BYTES: Final[dict[str, Any]] = {
    "description": "the data",
    "content": {BYTES: {"schema": {"type": "string", "format": "binary"}}},
}


def _stream(own: Collaborators, stream: Stream) -> dict[str, object]:
    row, last = stream.row, stream.windows.last
    closed = last.number + 1 if last else 0
    return {
        "stream": to_hex(row.stream),
        "name": row.name,
        "descriptor": stream.keys.descriptor.to_json(),
        "chunk_bytes": row.chunk_bytes,
        "window_chunks": row.window_chunks,
        "window_ms": row.window_ms,
        "mode": row.mode,
        "retention_seconds": row.retention_seconds,
        "created_ms": row.created_ms,
        "chunks": stream.intake.sequence,
        "bytes": stream.intake.total,
        "windows": closed,
        "certified": closed - own.pipeline.waiting(row.stream),
        "stopped": stream.intake.trouble or None,
    }


def _head(head: WindowHead) -> dict[str, object]:
    return {
        "number": head.number,
        "state": str(head.state),
        "first": head.first,
        "count": head.count,
        "closed_ms": head.closed_ms,
        "position": head.position,
    }


def _window(own: Collaborators, row: WindowRow) -> dict[str, object]:
    certified = own.receipts.event(row).to_json() if row.position is not None else None
    verdicts = {State.CERTIFIED: "valid", State.INVALID: "invalid"}
    said = own.records.endorsements(row.stream, row.number, limit=MOST_SHOWN)
    return {
        "stream": to_hex(row.stream),
        "number": row.number,
        "state": str(row.state),
        "header": row.header.members(),
        "header_signature": to_hex(row.signature),
        "closed_ms": row.closed_ms,
        "verdict": verdicts.get(row.state),
        "position": row.position,
        "event": certified,
        "votes": list(own.pipeline.votes.get(row.stream, row.number)),
        "endorsements": endorsements(said),
    }
