"""Nodes of the committee: their certified status, their latest probe and their downtime."""

from __future__ import annotations

from typing import Annotated

from flask import Response, jsonify
from pydantic import Field

from dragon import errors
from dragon.log.downtime import claim_at
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.parameters import Query, integer
from dragon.node.routes import nodes
from dragon_operator.components import Components


class PeriodQuery(Query):
    begin: Annotated[int, integer(name="from"), Field(alias="from")]
    end: Annotated[int, integer(name="to"), Field(alias="to")]


def routes(components: Components) -> Routes:
    def seen(node_id: str) -> dict[str, object] | None:
        found = components.peers.latest(node_id)
        return found.as_seen() if found else None

    routes = nodes.routes(components.log, seen, components.beats.shown)

    @routes.get(
        "/nodes/<node_id>/downtime",
        responses=responses(
            schemas.DowntimeTotals,
            *PAGING_ERRORS,
            errors.InvalidId,
            errors.MissingMember,
            errors.UnknownNode,
        ),
    )
    def downtime(path: nodes.NodePath, query: PeriodQuery) -> Response:
        """Seconds down, in maintenance and unknown in [from, to) by the log now; uncertified."""
        components.log.state.check_node(path.node_id)
        if query.end <= query.begin:
            message = f"`to` ({query.end}) must be later than `from` ({query.begin})"
            raise errors.IntegerOutOfRange(message, member="to")
        log, period = components.log, (query.begin, query.end)
        claim = claim_at(log, path.node_id, period, size=log.state.size)
        return jsonify(claim.members())

    return routes
