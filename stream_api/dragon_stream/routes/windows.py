"""Reading closed windows."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response, jsonify

from dragon import errors
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import PositionPageQuery, page
from dragon.node.parameters import NoParameters
from dragon_stream import schemas
from dragon_stream.components import Components
from dragon_stream.routes.paths import StreamPath, WindowPath
from dragon_stream.serializers import summary_to_json, window_to_json
from dragon_stream.streams import Stream
from dragon_stream.unfinished_windows import WindowSummary


def routes(components: Components) -> Routes:
    api = Routes("windows", __name__)

    @api.get(
        "/streams/<stream>/windows",
        responses=responses(
            schemas.Windows, *PAGING_ERRORS, errors.InvalidHex, errors.NotFound, errors.ChunkDamaged
        ),
    )
    def list_windows(path: StreamPath, query: PositionPageQuery) -> Response:
        """List the closed windows of a stream, oldest first."""
        stream = components.streams.get(path.stream)
        found = components.store.summaries(stream.id, query.after, query.limit + 1)
        listed, following = page(found, query.limit, lambda window: window.number)
        return jsonify(windows=_summaries(components, stream, listed), next=following)

    @api.get(
        "/streams/<stream>/windows/<number>",
        responses=responses(
            schemas.Window,
            errors.UnknownMember,
            errors.InvalidHex,
            errors.NotFound,
            errors.NotAnInteger,
            errors.IntegerOutOfRange,
            errors.ChunkDamaged,
        ),
    )
    def get_window(path: WindowPath, query: NoParameters) -> Response:
        """Get a closed window: header, operators' votes, certificate and experts' endorsements."""
        stream = components.streams.get(path.stream)
        row = components.receipts.window(stream, path.number)
        return jsonify(window_to_json(components, row))

    return api


def _summaries(
    components: Components, stream: Stream, listed: Sequence[WindowSummary]
) -> list[dict[str, object]]:
    if not listed:
        return []
    first, last = listed[0].number, listed[-1].number
    sizes = components.store.proof_sizes(stream.id, first, last)
    statements = components.store.statements(stream.id, first, last)
    return [
        summary_to_json(stream, each, sizes.get(each.number), statements.get(each.number))
        for each in listed
    ]
