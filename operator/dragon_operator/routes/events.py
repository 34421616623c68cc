"""Events of an operator's log, for anyone to read and verify."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from flask import Response, jsonify

from dragon import errors
from dragon.encoding import Json, canonical
from dragon.errors import NotFound
from dragon.log.store import Log
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import IdPageQuery, PositionPageQuery, page
from dragon.node.parameters import Query, identifier, integer
from dragon.protocol.log_entry import LogEntry, ProvenEntry
from dragon_operator.components import Components

MAX_PAGE_BYTES: Final = 512 * 1024  # entries of one page; a page holds at least one entry
_ROW_COLUMNS: Final = ("id", "node_id", "status", "timestamp", "signature")


class LogsQuery(IdPageQuery):
    node_id: Annotated[str | None, identifier()] = None


class EventPath(schemas.Schema):
    position: Annotated[int, integer()]


class EventQuery(Query):
    size: Annotated[int | None, integer()] = None


def routes(components: Components) -> Routes:
    routes, log = Routes("events", __name__), components.log

    @routes.get("/logs", responses=responses(schemas.LogRows, *PAGING_ERRORS, errors.InvalidId))
    def logs(query: LogsQuery) -> Response:
        """List applied status events, oldest first."""
        found = log.rows(query.node_id, query.after, query.limit + 1)
        rows, following = page(found, query.limit, lambda row: row.id)
        listed = [{column: getattr(row, column) for column in _ROW_COLUMNS} for row in rows]
        return jsonify(logs=listed, next=following)

    @routes.get("/events", responses=responses(schemas.Entries, *PAGING_ERRORS))
    def events(query: PositionPageQuery) -> Response:
        """List entries of the log, oldest first, without proofs; verify them against its root."""
        found = log.entries(query.after, query.limit + 1)
        shown = _fitting(found[: query.limit], MAX_PAGE_BYTES)
        entries, following = page(found, max(1, len(shown)), lambda entry: entry.position)
        return jsonify(events=shown[: len(entries)], next=following)

    @routes.get(
        "/events/<position>",
        responses=responses(schemas.ProvenEntry, *PAGING_ERRORS, NotFound),
    )
    def event(path: EventPath, query: EventQuery) -> Response:
        """One entry with its inclusion proof, as `dragon verify event` reads it."""
        log_size = log.head().size
        size = log_size if query.size is None else query.size
        if size > log_size:
            message = f"size ({size}) must lie between 0 and the log's size ({log_size})"
            raise errors.IntegerOutOfRange(message, member="size")
        return jsonify(_with_inclusion(log, path.position, size))

    return routes


def _fitting(entries: Sequence[LogEntry], max_bytes: int) -> list[dict[str, Json]]:
    """Return the JSON of the first entries that fit into a page, or of the first one alone.

    Entries after the last that fits are not encoded: a request for many costs what a page costs.
    """
    shown: list[dict[str, Json]] = []
    left = max_bytes
    for entry in entries:
        shown.append({**entry.to_json(), "ledger_time": entry.ledger_time})
        left -= len(canonical(shown[-1]))
        if left < 0:
            return shown[:-1] or shown
    return shown


def _with_inclusion(log: Log, position: int, size: int) -> dict[str, Json]:
    """The entry at `position` with its inclusion proof in a log of `size` entries."""
    entry = log.entry(position)  # first: a position beyond the log is reported as that
    inclusion = tuple(log.inclusion(position, size))
    proven = ProvenEntry(entry, size, log.head(size).root, inclusion)
    return proven.to_json()
