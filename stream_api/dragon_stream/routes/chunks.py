"""What is known of streams, windows and chunks."""

from __future__ import annotations

from typing import Annotated, Any, Final

from flask import Response, jsonify

from dragon import errors
from dragon.encoding import to_hex
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import PositionPageQuery, page
from dragon.node.parameters import NoParameters, Query, integer
from dragon.node.routes.streams import OCTET_STREAM
from dragon_stream import schemas
from dragon_stream.components import Components
from dragon_stream.routes.paths import ChunkPath, StreamPath, WindowPath, check_owner
from dragon_stream.serializers import show_head, show_stream, show_window

_FIND: Final = (errors.UnknownMember, errors.InvalidHex, errors.NotFound)
_OF_BYTES: Final[dict[str, Any]] = {
    "description": "the data",
    "content": {OCTET_STREAM: {"schema": {"type": "string", "format": "binary"}}},
}


class ReceiptQuery(Query):
    disclose: Annotated[int, integer(0, 1)] = 0
    proof: Annotated[int, integer(0, 1)] = 0


def reading(own: Components) -> Routes:
    routes = Routes("reading", __name__)

    @routes.get("/streams", responses=responses(schemas.Streams, errors.UnknownMember))
    def streams(query: NoParameters) -> Response:
        """The streams of this service."""
        return jsonify(streams=[show_stream(own, stream) for stream in own.streams.all()])

    @routes.get("/streams/<stream>", responses=responses(schemas.Stream, *_FIND))
    def stream(path: StreamPath, query: NoParameters) -> Response:
        """One stream, its descriptor and how far it has come."""
        return jsonify(show_stream(own, own.streams.get(path.stream)))

    @routes.get(
        "/streams/<stream>/windows",
        responses=responses(schemas.Windows, *PAGING_ERRORS, *_FIND[1:]),
    )
    def windows(path: StreamPath, query: PositionPageQuery) -> Response:
        """Its closed windows, oldest first."""
        stream_ = own.streams.get(path.stream)
        found = own.store.heads(stream_.id, query.after, query.limit + 1)
        heads, following = page(found, query.limit, lambda head: head.number)
        return jsonify(windows=[show_head(head) for head in heads], next=following)

    @routes.get(
        "/streams/<stream>/windows/<number>",
        responses=responses(schemas.Window, *_FIND, errors.NotAnInteger, errors.IntegerOutOfRange),
    )
    def window(path: WindowPath, query: NoParameters) -> Response:
        """One window: its header, what each operator said, its event, what experts say of it."""
        stream_ = own.streams.get(path.stream)
        row = own.store.window(stream_.id, path.number)
        if row is None:
            raise errors.NotFound(f"the stream has no closed window {path.number}")
        return jsonify(show_window(own, row))

    @routes.get(
        "/streams/<stream>/chunks/<sequence>",
        responses=responses(schemas.Chunk, *_FIND, errors.NotAnInteger, errors.IntegerOutOfRange),
    )
    def chunk(path: ChunkPath, query: NoParameters) -> Response:
        """What everybody may know of a chunk."""
        row, header = own.receipts.chunk(own.streams.get(path.stream), path.sequence)
        place = {"stream": to_hex(row.stream), "window": row.number, "state": str(row.state)}
        return jsonify({**place, **header.members()})

    @routes.get(
        "/streams/<stream>/chunks/<sequence>/data",
        responses={
            **responses(
                schemas.Chunk,
                *_FIND,
                errors.NotAnInteger,
                errors.IntegerOutOfRange,
                errors.Unauthorized,
            ),
            200: _OF_BYTES,
        },
    )
    def data(path: ChunkPath, query: NoParameters) -> Response:
        """The data of a chunk, while it is kept. Needs the stream's token."""
        stream_ = own.streams.get(path.stream)
        check_owner(stream_)
        return Response(own.receipts.data(stream_, path.sequence), mimetype=OCTET_STREAM)

    @routes.get(
        "/streams/<stream>/chunks/<sequence>/receipt",
        responses=responses(
            schemas.Receipt,
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
