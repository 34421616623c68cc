"""Routes of every service that follows the log."""

from __future__ import annotations

from dataclasses import asdict

from flask import Response, jsonify

from dragon.encoding import to_hex
from dragon.errors import UnknownMember
from dragon.log.store import Log
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import NewestFirstPageQuery, page
from dragon.node.parameters import NoParameters


def routes(log: Log) -> Routes:
    routes_ = Routes("log", __name__)

    @routes_.get("/checkpoint", responses=responses(schemas.LogHead, UnknownMember))
    def checkpoint(query: NoParameters) -> Response:
        """The size and root of this service's log now, unsigned; and the newest checkpoint."""
        now = log.head()
        return jsonify(
            size=now.size,
            root=to_hex(now.root),
            ledger_index=log.position.index,
            committee=to_hex(log.committee.id),
            certified=_certified(log),
        )

    @routes_.get("/refused", responses=responses(schemas.RefusedEvents, *PAGING_ERRORS))
    def refused(query: NewestFirstPageQuery) -> Response:
        """Events of the ledger that the log refused, newest first, and their number by reason."""
        found = log.refused_before(query.after, query.limit + 1)
        rows, following = page(found, query.limit, lambda row: row[0])
        counts = [{"reason": reason, "count": count} for reason, count in log.refusals().items()]
        refusals = [{"id": id_, **asdict(refusal)} for id_, refusal in rows]
        return jsonify(counts=counts, refused=refusals, next=following)

    return routes_


def _certified(log: Log) -> dict[str, object] | None:
    """The newest certified checkpoint in this log."""
    last = log.state.checkpoint
    if last is None:
        return None
    return {
        "size": last.size,
        "root": to_hex(last.log_root),
        "timestamp": last.timestamp,
        "position": last.position,
    }
