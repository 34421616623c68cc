"""What every service with a log answers about it."""

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
from dragon.protocol.committee import Committee


def routes(committee: Committee, log: Log) -> Routes:
    found = Routes("log", __name__)

    @found.get("/checkpoint", responses=responses(schemas.LogHead, UnknownMember))
    def checkpoint(query: NoParameters) -> Response:
        """What the service's own log holds now. It is not signed."""
        now = log.checkpoint()
        return jsonify(
            size=now.size,
            root=to_hex(now.root),
            ledger_index=log.position.index,
            committee=to_hex(committee.id),
            certified=_certified(log),
        )

    @found.get("/refused", responses=responses(schemas.RefusedEvents, *PAGING_ERRORS))
    def refused(query: NewestFirstPageQuery) -> Response:
        """Events of the ledger that the log did not take, newest first, and how many in all."""
        found = log.refused_before(query.after, query.limit + 1)
        rows, following = page(found, query.limit, lambda row: row[0])
        counts = [{"reason": reason, "count": count} for reason, count in log.refusals().items()]
        refusals = [{"id": id_, **asdict(refusal)} for id_, refusal in rows]
        return jsonify(counts=counts, refused=refusals, next=following)

    return found


def _certified(log: Log) -> dict[str, object] | None:
    """The newest checkpoint that a quorum has certified, as far as this log knows."""
    last = log.state.checkpoint
    if last is None:
        return None
    return {
        "size": last.size,
        "root": to_hex(last.log_root),
        "timestamp": last.timestamp,
        "position": last.position,
    }
