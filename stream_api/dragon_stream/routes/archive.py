"""What the service's owner may know of the archive."""

from __future__ import annotations

import math

from flask import Response, jsonify

from dragon import errors
from dragon.encoding import to_hex
from dragon.node import auth
from dragon.node.openapi import REQUIRES_TOKEN, Routes, responses
from dragon.node.parameters import NoParameters
from dragon_stream import schemas
from dragon_stream.archive.archiver import Archiver
from dragon_stream.archive.index import Total
from dragon_stream.archive.objects import Kind, State
from dragon_stream.components import Components
from dragon_stream.streams import Stream


def routes(components: Components) -> Routes:
    api = Routes("archive", __name__)

    @api.get(
        "/archive",
        security=REQUIRES_TOKEN,
        responses=responses(
            schemas.Archive,
            errors.UnknownMember,
            errors.Unauthorized,
            errors.NotFound,
            errors.ChunkDamaged,
        ),
    )
    def get_archive(query: NoParameters) -> Response:
        """Get what is archived and what waits for it, by stream. Requires the service's token."""
        auth.check(auth.is_same(components.token), "this request requires the service's token")
        if components.archive is None:
            raise errors.NotFound("this service has no archive: STREAM_ARCHIVE is not set")
        return jsonify(_archive_to_json(components, components.archive))

    return api


def _archive_to_json(components: Components, archiver: Archiver) -> dict[str, object]:
    totals = archiver.totals()
    return {
        "archive": archiver.url,
        "local_bytes": components.room.used,
        "local_limit_bytes": components.room.limit,
        "has_room": components.room.is_free(),
        "last_error": archiver.last_error or None,
        "retry_seconds": math.ceil(archiver.retry_seconds),
        "streams": [
            _stream_to_json(stream, totals, archiver.pending.get(stream.id, 0))
            for stream in components.streams.all()
        ],
    }


def _stream_to_json(stream: Stream, totals: list[Total], pending: int) -> dict[str, object]:
    stored = [each for each in totals if each.stream == stream.id and each.state is State.STORED]
    segments = [each for each in stored if each.kind is Kind.SEGMENT]
    proofs = [each for each in stored if each.kind is Kind.PROOFS]
    return {
        "stream": to_hex(stream.id),
        "name": stream.row.name,
        "segments": sum(each.objects for each in segments),
        "segment_bytes": sum(each.size for each in segments),
        "bundles": sum(each.objects for each in proofs),
        "bundle_bytes": sum(each.size for each in proofs),
        "pending_bytes": pending,
    }
