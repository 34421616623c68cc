"""Events of an operator's log, for anyone to read and verify."""

from __future__ import annotations

from typing import Annotated, Final

from flask import Response, jsonify

from dragon import errors
from dragon.errors import NotFound
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import IdPageQuery, PositionPageQuery, page
from dragon.node.parameters import NoParameters, Parameters, Query, boolean, identifier, integer
from dragon_operator.components import Components

MAX_PAGE_BYTES: Final = 256 * 1024  # entries of one page; a page holds at least one entry


class LogsQuery(IdPageQuery):
    node_id: Annotated[str | None, identifier()] = None


class EventPath(Parameters):
    position: Annotated[int, integer()]


class CheckpointPath(Parameters):
    since: Annotated[int, integer()]


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
        log.entry(path.position)  # first: a position beyond the log is reported as that
        anchored = log.anchored(path.position) if query.anchored else None
        if anchored is not None:
            _check_size_of_mark(query.size, anchored.size)
            return jsonify(anchored.to_json())
        _check_size(query.size, log.head().size)
        shown = log.proven(path.position, query.size).to_json()
        return jsonify({**shown, "anchor": None} if query.anchored else shown)

    @routes.get(
        "/checkpoints/<since>",
        responses=responses(
            schemas.ProvenEntry,
            errors.UnknownMember,
            errors.NotAnInteger,
            errors.IntegerOutOfRange,
            NotFound,
        ),
    )
    def checkpoint(path: CheckpointPath, query: NoParameters) -> Response:
        """The first checkpoint of a round from a time on (Unix seconds), and a mark that covers it.

        It draws the chunks of spot checks. About a minute passes until the log has it, and another
        one until a later mark covers it.
        """
        mark = log.state.first_checkpoint(path.since)
        anchored = log.anchored(mark.position) if mark else None
        if anchored is None:
            raise NotFound("the log has no checkpoint from that time on that a later mark covers")
        return jsonify(anchored.to_json())

    return routes


def _check_size(size: int | None, log_size: int) -> None:
    """Raises IntegerOutOfRange."""
    if size is not None and size > log_size:
        message = f"size ({size}) must lie between 0 and the log's size ({log_size})"
        raise errors.IntegerOutOfRange(message, member="size")


def _check_size_of_mark(size: int | None, certified: int) -> None:
    """Raises IntegerOutOfRange."""
    if size not in (None, certified):
        message = f"size ({size}) must be that of the mark ({certified}); omit it with `anchored`"
        raise errors.IntegerOutOfRange(message, member="size")
