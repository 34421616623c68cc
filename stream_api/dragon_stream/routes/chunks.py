"""Reading chunks: their headers, data and receipts."""

from __future__ import annotations

from typing import Annotated, Any, Final

from flask import Response, jsonify

from dragon import errors
from dragon.encoding import to_hex
from dragon.node.openapi import REQUIRES_TOKEN, TAKES_TOKEN, Routes, responses
from dragon.node.parameters import NoParameters, Query, integer
from dragon.node.routes.streams import OCTET_STREAM
from dragon_stream import schemas
from dragon_stream.components import Components
from dragon_stream.routes.paths import ChunkPath, check_owner

_PROBLEMS: Final = (
    errors.UnknownMember,
    errors.InvalidHex,
    errors.NotFound,
    errors.NotAnInteger,
    errors.IntegerOutOfRange,
    errors.ChunkDamaged,
)
_BINARY: Final[dict[str, Any]] = {
    "description": "The data of the chunk.",
    "content": {OCTET_STREAM: {"schema": {"type": "string", "format": "binary"}}},
}


class ReceiptQuery(Query):
    disclose: Annotated[int, integer(0, 1)] = 0
    proof: Annotated[int, integer(0, 1)] = 0


def routes(components: Components) -> Routes:
    api = Routes("chunks", __name__)

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
            **responses(schemas.Chunk, *_PROBLEMS, errors.Unauthorized),
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
        responses=responses(schemas.Receipt, *_PROBLEMS, errors.Unauthorized),
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
