"""Routes about streams in the log, and the objects of their windows."""

from __future__ import annotations

from typing import Annotated, Any, Final

from flask import Response, jsonify

from dragon.encoding import Json, to_hex
from dragon.errors import InvalidHex, NotFound, UnknownMember
from dragon.log.index_tables import Applied, StreamRecords, StreamRow
from dragon.log.store import Log
from dragon.net.blob_client import join_pair
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import LimitQuery, page
from dragon.node.parameters import NoParameters, Parameters, Query, hexadecimal, integer
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.stream_state import StreamState
from dragon.storage.blobs import ObjectStore

OCTET_STREAM: Final = "application/octet-stream"
HASH_PARAMETER: Final = hexadecimal(range(32, 33))
MAX_ENDORSEMENTS_SHOWN: Final = 100


class StreamsQuery(LimitQuery):
    after: Annotated[bytes, HASH_PARAMETER] = b""


class StreamPath(Parameters):
    stream: Annotated[bytes, HASH_PARAMETER]


class WindowPath(StreamPath):
    number: Annotated[int, integer()]


class ObjectPath(Parameters):
    sha256: Annotated[bytes, HASH_PARAMETER]


class ObjectQuery(Query):
    then: Annotated[bytes, HASH_PARAMETER] = b""


def routes(log: Log, records: StreamRecords) -> Routes:
    """Routes of a service that knows streams only from its log."""
    routes_ = Routes("streams", __name__)

    @routes_.get("/streams", responses=responses(schemas.Streams, *PAGING_ERRORS, InvalidHex))
    def streams(query: StreamsQuery) -> Response:
        """Streams that have a valid window in the log, in the order of their ids."""
        found = records.streams(query.after, query.limit + 1)
        rows, following = page(found, query.limit, lambda row: to_hex(row.stream))
        return jsonify(streams=[_row(row) for row in rows], next=following)

    @routes_.get(
        "/streams/<stream>",
        responses=responses(schemas.EndorsedStream, InvalidHex, UnknownMember, NotFound),
    )
    def stream(path: StreamPath, query: NoParameters) -> Response:
        """One stream: its last valid window in the log, and experts' endorsements."""
        known = log.state.stream(path.stream)
        if known == StreamState():
            raise NotFound("the log has no window of this stream")
        said = records.endorsements(path.stream, limit=MAX_ENDORSEMENTS_SHOWN)
        return jsonify({**_head(path.stream, known), "endorsements": endorsements(said)})

    @routes_.get(
        "/streams/<stream>/windows/<number>",
        responses=responses(schemas.WindowVerdicts, *PAGING_ERRORS, InvalidHex, NotFound),
    )
    def window(path: WindowPath, query: NoParameters) -> Response:
        """The verdicts on one window with their events, and experts' endorsements."""
        verdicts = verdicts_on(log, records, path.stream, path.number)
        if not verdicts:
            raise NotFound("the log has no verdict on this window")
        said = records.endorsements(path.stream, path.number, limit=MAX_ENDORSEMENTS_SHOWN)
        return jsonify(
            stream=to_hex(path.stream),
            number=path.number,
            verdicts=verdicts,
            endorsements=endorsements(said),
        )

    return routes_


def objects(store: ObjectStore, log: Log) -> Routes:
    """Route that returns objects by their SHA-256. Clients check the hash themselves.

    Committee files are objects too: those that have held, and those that a handover names or may
    name.
    """
    routes_ = Routes("objects", __name__)
    body = {
        "description": "the object",
        "content": {OCTET_STREAM: {"schema": {"type": "string", "format": "binary"}}},
    }
    described: dict[Any, Any] = responses(schemas.Health, InvalidHex, UnknownMember, NotFound)

    def find(sha256: bytes) -> bytes:
        if (kept := store.get(sha256)) is None:  # an object may have no bytes
            kept = log.committee_file(sha256)
        if kept is None:
            raise NotFound("this service does not have the object")
        return kept

    @routes_.get("/objects/<sha256>", responses={**described, 200: body})
    def get(path: ObjectPath, query: ObjectQuery) -> Response:
        """A descriptor, a window header, chunk headers, a proof, or a committee file."""
        found = find(path.sha256)
        if query.then:
            found = join_pair(found, find(query.then))
        return Response(found, mimetype=OCTET_STREAM)

    return routes_


def verdicts_on(
    log: Log, records: StreamRecords, stream: bytes, number: int
) -> list[dict[str, object]]:
    """All verdicts on a window in the log, with their events."""
    return [
        {"position": found.position, "event": log.entry(found.position).event.to_json()}
        for found in records.verdicts(stream, number)
    ]


def endorsements(said: list[Applied[EndorsementClaim]]) -> list[dict[str, Json]]:
    return [{"position": each.position, **_without_stream(each.claim.members())} for each in said]


def _without_stream(members: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in members.items() if name != "stream"}


def _row(row: StreamRow) -> dict[str, object]:
    return {
        "stream": to_hex(row.stream),
        "windows": row.windows,
        "header": to_hex(row.header),
        "timestamp": row.timestamp,
        "position": row.position,
    }


def _head(stream_id: bytes, known: StreamState) -> dict[str, object]:
    last = known.last
    return {
        "stream": to_hex(stream_id),
        "windows": known.windows,
        "header": to_hex(last.header) if last else None,
        "timestamp": last.timestamp if last else None,
        "position": known.position if last else None,
    }
