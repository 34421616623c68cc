"""Events of an operator's log, for anyone to read and verify."""

from __future__ import annotations

from typing import Annotated, Final

from flask import Response, jsonify

from dragon import errors
from dragon.encoding import Json
from dragon.errors import NotFound
from dragon.log.store import Log
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import IdPageQuery, PositionPageQuery, page
from dragon.node.parameters import Query, boolean, identifier, integer
from dragon_operator.components import Components

MAX_PAGE_BYTES: Final = 256 * 1024  # entries of one page; a page holds at least one entry


class LogsQuery(IdPageQuery):
    node_id: Annotated[str | None, identifier()] = None


class EventPath(schemas.Schema):
    position: Annotated[int, integer()]


class EventQuery(Query):
    size: Annotated[int | None, integer()] = None
    anchored: Annotated[bool, boolean()] = False


def routes(components: Components) -> Routes:
    routes, log = Routes("events", __name__), components.log

    @routes.get("/logs", responses=responses(schemas.LogRows, *PAGING_ERRORS, errors.InvalidId))
    def logs(query: LogsQuery) -> Response:
        """List applied status events, oldest first."""
        found = log.rows(query.node_id, query.after, query.limit + 1)
        rows, following = page(found, query.limit, lambda row: row.id)
        return jsonify(logs=[row._asdict() for row in rows], next=following)

    @routes.get("/events", responses=responses(schemas.Entries, *PAGING_ERRORS))
    def events(query: PositionPageQuery) -> Response:
        """List entries of the log, oldest first, without proofs; verify them against its root."""
        entries, following = log.entries_page(query.after, query.limit, MAX_PAGE_BYTES)
        # Put together from encoded entries: decoding them would take ten times as long.
        end = b"null" if following is None else b"%d" % following
        body = b'{"events":[%b],"next":%b}\n' % (b",".join(entries), end)
        return Response(body, mimetype="application/json")

    @routes.get(
        "/events/<position>",
        responses=responses(schemas.ProvenEntry, *PAGING_ERRORS, errors.UnknownValue, NotFound),
    )
    def event(path: EventPath, query: EventQuery) -> Response:
        """One entry with its inclusion proof, as `dragon verify event` reads it."""
        if query.anchored:
            return jsonify(_anchored(log, path.position, query.size))
        log.entry(path.position)  # first: a position beyond the log is reported as that
        log_size = log.head().size
        if query.size is not None and query.size > log_size:
            message = f"size ({query.size}) must lie between 0 and the log's size ({log_size})"
            raise errors.IntegerOutOfRange(message, member="size")
        return jsonify(log.proven(path.position, query.size).to_json())

    return routes


def _anchored(log: Log, position: int, size: int | None) -> dict[str, Json]:
    """An entry with a mark that covers it, if there is one, and the path to that mark's root."""
    if size is not None:
        message = "omit `size` with `anchored`: the mark that covers the entry states the size"
        raise errors.UnknownMember(message, member="size")
    if found := log.anchored(position):
        return found.to_json()
    return {**log.proven(position).to_json(), "anchor": None}
