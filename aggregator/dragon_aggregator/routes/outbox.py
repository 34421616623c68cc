"""Events that are certified but not yet in the log."""

from __future__ import annotations

from flask import Response, jsonify

from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import IdPageQuery, page
from dragon_aggregator.components import Components
from dragon_aggregator.outbox import Pending


def routes(components: Components) -> Routes:
    routes = Routes("outbox", __name__)

    @routes.get("/outbox", responses=responses(schemas.Outbox, *PAGING_ERRORS))
    def outbox(query: IdPageQuery) -> Response:
        """List events that are not yet in the log, oldest first."""
        remaining = [entry for entry in components.outbox.pending() if entry.id > query.after]
        listed, following = page(remaining, query.limit, lambda entry: entry.id)
        return jsonify(outbox=[_pending(entry) for entry in listed], next=following)

    return routes


def _pending(entry: Pending) -> dict[str, object]:
    return {
        "id": entry.id,
        "event": entry.event.to_json(),
        "sends": entry.sends,
        "sent_at": None if entry.sent_at is None else int(entry.sent_at),
    }
