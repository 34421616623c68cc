"""Nodes of the committee: their certified status, their latest probe and their downtime."""

from __future__ import annotations

from typing import Annotated

from flask import Response, jsonify
from pydantic import Field

from dragon import errors
from dragon.log.downtime import claim_at
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import MAX_PAGE_SIZE, page
from dragon.node.parameters import Query, identifier, integer
from dragon.probing.probe_result import ProbeResult
from dragon.protocol.beats import sends_beats
from dragon_operator.components import Components


class NodesQuery(Query):
    after: Annotated[str, identifier()] = ""
    limit: Annotated[int, integer(1, MAX_PAGE_SIZE)] = MAX_PAGE_SIZE


class NodePath(schemas.Schema):
    node_id: Annotated[str, identifier()]


class PeriodQuery(Query):
    begin: Annotated[int, integer(name="from"), Field(alias="from")]
    end: Annotated[int, integer(name="to"), Field(alias="to")]


def routes(components: Components) -> Routes:
    routes = Routes("nodes", __name__)

    @routes.get("/nodes", responses=responses(schemas.Nodes, *PAGING_ERRORS, errors.InvalidId))
    def nodes(query: NodesQuery) -> Response:
        """List operators and targets by id, with certified status and this operator's probe."""
        remaining = sorted(id_ for id_ in components.committee.urls if id_ > query.after)
        listed, following = page(remaining, query.limit, str)
        return jsonify(nodes=[_node(components, node_id) for node_id in listed], next=following)

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
    def downtime(path: NodePath, query: PeriodQuery) -> Response:
        """Seconds down and unknown in [from, to) according to the current log; uncertified."""
        components.log.state.check_node(path.node_id)
        if query.end <= query.begin:
            message = f"`to` ({query.end}) must be later than `from` ({query.begin})"
            raise errors.IntegerOutOfRange(message, member="to")
        log, period = components.log, (query.begin, query.end)
        claim = claim_at(log, path.node_id, period, size=log.state.size)
        return jsonify(claim.members())

    return routes


def _node(components: Components, node_id: str) -> dict[str, object]:
    last = components.log.state.last(node_id)
    seen = components.peers.latest(node_id)
    is_operator = node_id in components.committee.keys
    return {
        "node_id": node_id,
        "kind": "operator" if is_operator else "target",
        "status": str(last.status) if last else "unknown",
        "since": last.timestamp if last else None,
        "seen": _latest_probe(seen) if seen else None,
        "signed": is_operator or sends_beats(components.committee, node_id),
        "beat": components.beats.newest(node_id).to_json(),
    }


def _latest_probe(seen: ProbeResult) -> dict[str, object]:
    return {
        "status": str(seen.status),
        "reason": seen.reason,
        "at": int(seen.begun_at),
        "latency_ms": seen.latency_ms,
    }
