"""Routes of every service with a log: the nodes of the committee, and announced maintenance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeAlias

from flask import Response, jsonify

from dragon.errors import InvalidId, UnknownMember, UnknownNode
from dragon.log.store import Log
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import MAX_PAGE_SIZE, PositionPageQuery, page
from dragon.node.parameters import NoParameters, Parameters, Query, identifier, integer
from dragon.protocol.beats import sends_beats
from dragon.protocol.state import State

MAX_WINDOWS_IN_PAGE: Final = 4096  # of the nodes of one page; it has at least one node

# Returns what this service's latest probe of a node has seen, in the published form.
Seen: TypeAlias = Callable[[str], dict[str, object] | None]
# Returns the newest beat of a node that this service has received, in the published form.
BeatOf: TypeAlias = Callable[[str], dict[str, object] | None]


class NodesQuery(Query):
    after: Annotated[str, identifier()] = ""
    limit: Annotated[int, integer(1, MAX_PAGE_SIZE)] = MAX_PAGE_SIZE


class NodePath(Parameters):
    node_id: Annotated[str, identifier()]


class MaintenanceQuery(PositionPageQuery):
    node_id: Annotated[str | None, identifier()] = None


def routes(log: Log, seen: Seen = lambda _: None, beat: BeatOf = lambda _: None) -> Routes:
    """Build the routes.

    Args:
        seen: of a service that keeps its latest probe of each node.
        beat: of a service that receives the beats of targets.
    """

    def shown(state: State, node_id: str) -> dict[str, object]:
        return {**_node(state, node_id), "seen": seen(node_id), "beat": beat(node_id)}

    routes_ = Routes("nodes", __name__)

    @routes_.get("/nodes", responses=responses(schemas.Nodes, *PAGING_ERRORS, InvalidId))
    def nodes(query: NodesQuery) -> Response:
        """List operators and targets by id: certified status, maintenance, this service's probe."""
        state = log.state
        remaining = sorted(id_ for id_ in state.committee.urls if id_ > query.after)
        most = min(query.limit, _fitting(state, remaining[: query.limit]))
        listed, following = page(remaining, most, str)
        return jsonify(nodes=[shown(state, each) for each in listed], next=following)

    @routes_.get(
        "/nodes/<node_id>",
        responses=responses(schemas.Node, UnknownMember, InvalidId, UnknownNode),
    )
    def node(path: NodePath, query: NoParameters) -> Response:
        """One operator or target of the committee that holds."""
        state = log.state
        state.committee.check_node(path.node_id)
        return jsonify(shown(state, path.node_id))

    @routes_.get(
        "/maintenance", responses=responses(schemas.MaintenancePage, *PAGING_ERRORS, InvalidId)
    )
    def maintenance(query: MaintenanceQuery) -> Response:
        """All windows of maintenance in the log, past ones too, in the order of their events."""
        found = log.announcements(query.node_id, query.after, query.limit + 1)
        listed, following = page(found, query.limit, lambda each: each.position)
        windows = [{"position": each.position, **each.claim.members()} for each in listed]
        return jsonify(maintenance=windows, next=following)

    return routes_


def _fitting(state: State, node_ids: Sequence[str]) -> int:
    """Return how many of the nodes have few enough windows for one page; at least one."""
    left = MAX_WINDOWS_IN_PAGE
    for number, node_id in enumerate(node_ids):
        left -= len(state.announced(node_id).after(state.log_time))
        if left < 0:
            return max(1, number)
    return max(1, len(node_ids))


def _node(state: State, node_id: str) -> dict[str, object]:
    last = state.last(node_id)
    is_operator = node_id in state.committee.keys
    return {
        "node_id": node_id,
        "kind": "operator" if is_operator else "target",
        "status": str(last.status) if last else "unknown",
        "since": last.timestamp if last else None,
        "signed": is_operator or sends_beats(state.committee, node_id),
        "listed_since": state.listed_since[node_id],
        "maintenance": [
            {
                "position": each.position,
                "from": each.begin,
                "to": each.end,
                "timestamp": each.timestamp,
            }
            for each in state.announced(node_id).after(state.log_time)
        ],
    }
