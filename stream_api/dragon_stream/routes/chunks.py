"""Reading chunks: their headers, data and receipts."""

from __future__ import annotations

from typing import Annotated, Any, Final

from flask import Response, jsonify

from dragon import errors
from dragon.encoding import to_hex
from dragon.node.openapi import PAGING_ERRORS, REQUIRES_TOKEN, TAKES_TOKEN, Routes, responses
from dragon.node.paging import PositionPageQuery, page
from dragon.node.parameters import NoParameters, Query, integer
from dragon.node.routes.streams import OCTET_STREAM
from dragon_stream import schemas
from dragon_stream.components import Components
from dragon_stream.routes.paths import ChunkPath, StreamPath, check_owner
from dragon_stream.serializers import digest_to_json

_PROBLEMS: Final = (
    errors.UnknownMember,
    errors.InvalidHex,
    errors.NotFound,
    errors.NotAnInteger,
    errors.IntegerOutOfRange,
    errors.ChunkDamaged,
)
_ARCHIVE: Final = (errors.ArchiveUnavailable, errors.Busy)
_BINARY: Final[dict[str, Any]] = {
    "description": "The data of the chunk.",
    "content": {OCTET_STREAM: {"schema": {"type": "string", "format": "binary"}}},
}


class ReceiptQuery(Query):
    disclose: Annotated[int, integer(0, 1)] = 0
    proof: Annotated[int, integer(0, 1)] = 0


def routes(components: Components) -> Routes:
    api = Routes("chunks", __name__)

    @api.get(
        "/streams/<stream>/chunks",
        responses=responses(
            schemas.ChunkDigests,
            *PAGING_ERRORS,
            errors.InvalidHex,
            errors.NotFound,
            errors.Unauthorized,
        ),
    )
    def list_chunks(path: StreamPath, query: PositionPageQuery) -> Response:
        """List all chunks on disk with the SHA-256 of their data. Requires the stream's token.

        The list includes chunks that are in no closed window yet, and deleted data.
        """
        stream = components.streams.get(path.stream)
        check_owner(stream)
        found = components.receipts.digests(stream, query.after, query.limit + 1)
        listed, following = page(found, query.limit, lambda chunk: chunk.sequence)
        return jsonify(chunks=[digest_to_json(chunk) for chunk in listed], next=following)

    @api.get("/streams/<stream>/chunks/<sequence>", responses=responses(schemas.Chunk, *_PROBLEMS))
    def get_chunk(path: ChunkPath, query: NoParameters) -> Response:
        """Get the public facts about a chunk: its window, header and commitment."""
        stream = components.streams.get(path.stream)
        row, header = components.receipts.chunk(stream, path.sequence)
        place = {"stream": to_hex(row.stream), "window": row.number, "state": str(row.state)}
        return jsonify({**place, **header.members()})

    @api.get(
        "/streams/<stream>/chunks/<sequence>/data",
        security=REQUIRES_TOKEN,
        responses={
            **responses(schemas.Chunk, *_PROBLEMS, *_ARCHIVE, errors.Unauthorized),
            200: _BINARY,
        },
    )
    def get_data(path: ChunkPath, query: NoParameters) -> Response:
        """Get the data of a chunk until its retention ends. Requires the stream's token."""
        stream = components.streams.get(path.stream)
        check_owner(stream)
        return Response(components.receipts.data(stream, path.sequence), mimetype=OCTET_STREAM)

    @api.get(
        "/streams/<stream>/chunks/<sequence>/receipt",
        security=TAKES_TOKEN,
        responses=responses(schemas.Receipt, *_PROBLEMS, *_ARCHIVE, errors.Unauthorized),
    )
    def get_receipt(path: ChunkPath, query: ReceiptQuery) -> Response:
        """Get a chunk's receipt, which anyone can verify offline.

        With `proof=1` it includes the window's proof. With `disclose=1` it opens the commitment of
        this chunk and no other, which requires the stream's token.
        """
        stream = components.streams.get(path.stream)
        if query.disclose:
            check_owner(stream)
        receipt = components.receipts.receipt(
            stream, path.sequence, disclose=bool(query.disclose), with_proof=bool(query.proof)
        )
        return jsonify(receipt.to_json())

    return api
