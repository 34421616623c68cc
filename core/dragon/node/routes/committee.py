"""Routes about the committee: which one holds, who has approved the next, and the lineage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from flask import Response, jsonify

from dragon.encoding import Json, canonical, to_hex
from dragon.errors import UnknownMember
from dragon.log.store import Log
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import PositionPageQuery
from dragon.node.parameters import NoParameters

MAX_PAGE_BYTES: Final = 1 << 20  # of the committee files of one page; it has at least one

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
        rows, following = log.lineage_page(query.after, query.limit, MAX_PAGE_BYTES)
        end = b"null" if following is None else b"%d" % following
        body = b'{"checkpoint":%b,"committees":[%b],"next":%b}\n' % (
            canonical(_checkpoint(log)),
            b",".join(each.to_json() for each in rows),
            end,
        )
        return Response(body, mimetype="application/json")

    return routes_


def _checkpoint(log: Log) -> dict[str, Json] | None:
    """The newest checkpoint of the committee that holds; null until it has certified one."""
    state = log.state
    if state.checkpoint is None:
        return None
    event = log.entry(state.checkpoint.position).event
    return event.to_json() if event.committee_id == state.committee.id else None
