"""Reading closed windows."""

from __future__ import annotations

from typing import Annotated

from flask import Response, jsonify

from dragon import errors
from dragon.node import app as web
from dragon.node.openapi import PAGE, Routes, responses
from dragon.node.parameters import Nothing, Query, integer
from dragon_stream import schemas
from dragon_stream.components import Components
from dragon_stream.routes.paths import StreamPath, WindowPath
from dragon_stream.serializers import summary_to_json, window_to_json


class WindowsQuery(Query):
    after: Annotated[int, integer(-1)] = -1
    limit: Annotated[int, integer(1, web.MAX_PAGE)] = 100


def routes(components: Components) -> Routes:
    api = Routes("windows", __name__)

    @api.get(
        "/streams/<stream>/windows",
        responses=responses(schemas.Windows, *PAGE, errors.InvalidHex, errors.NotFound),
    )
    def list_windows(path: StreamPath, query: WindowsQuery) -> Response:
        """List the closed windows of a stream, oldest first."""
        stream = components.streams.get(path.stream)
        summaries = components.store.summaries(stream.id, query.after, query.limit)
        more = len(summaries) == query.limit
        return jsonify(
            windows=[summary_to_json(summary) for summary in summaries],
            next=summaries[-1].number if more else None,
        )

    @api.get(
        "/streams/<stream>/windows/<number>",
        responses=responses(
            schemas.Window,
            errors.UnknownMember,
            errors.InvalidHex,
            errors.NotFound,
            errors.NotAnInteger,
            errors.IntegerOutOfRange,
        ),
    )
    def get_window(path: WindowPath, query: Nothing) -> Response:
        """Get a closed window: header, operators' votes, certificate and experts' endorsements."""
        stream = components.streams.get(path.stream)
        row = components.store.window(stream.id, path.number)
        if row is None:
            raise errors.NotFound(f"the stream has no closed window {path.number}")
        return jsonify(window_to_json(components, row))

    return api
