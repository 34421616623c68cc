"""Routes about the committee: which one holds, who has approved the next, and the lineage."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Response, jsonify

from dragon.encoding import to_hex
from dragon.errors import UnknownMember
from dragon.log.store import Log
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import PositionPageQuery, page
from dragon.node.parameters import NoParameters

# Returns what an owner has approved here: operator → id of the committee, None: nothing.
Approved = Callable[[], Mapping[str, bytes | None]]


def routes(log: Log, approved: Approved = dict) -> Routes:
    """Args: `approved`, for the operator whose service this is; other services approve nothing."""
    routes_ = Routes("committee", __name__)

    @routes_.get("/committee", responses=responses(schemas.CommitteeState, UnknownMember))
    def committee(query: NoParameters) -> Response:
        """The committee that holds in this service's log, and what is approved here."""
        state = log.state
        return jsonify(
            network=to_hex(state.committee.network_id),
            epoch=state.committee.epoch,
            committee=to_hex(state.committee.id),
            seat=state.seat,
            position=state.handover.position if state.handover else None,
            seated=list(state.committee.keys),
            approved={
                operator: to_hex(found) if found else None for operator, found in approved().items()
            },
        )

    @routes_.get("/lineage", responses=responses(schemas.LineagePage, *PAGING_ERRORS))
    def lineage(query: PositionPageQuery) -> Response:
        """The committees after an epoch, the handovers to them, and the newest checkpoint."""
        found = log.committees(query.after, query.limit + 1)
        shown, following = page(found, query.limit, lambda each: each.committee.epoch)
        last = log.state.checkpoint
        return jsonify(
            committees=[
                {
                    "epoch": each.committee.epoch,
                    "committee": each.committee.to_json(),
                    "handover": each.handover.to_json() if each.handover else None,
                    "position": each.position,
                }
                for each in shown
            ],
            checkpoint=log.entry(last.position).event.to_json() if last else None,
            next=following,
        )

    return routes_
