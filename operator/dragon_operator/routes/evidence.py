"""Evidence for disputes: what this operator saw of a node and answered, signed by it."""

from __future__ import annotations

import json
from bisect import bisect_right
from typing import Annotated, Final

from flask import Response, jsonify
from pydantic import Field

from dragon import errors
from dragon.encoding import to_hex
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import page
from dragon.node.parameters import Query, integer
from dragon.node.routes.nodes import NodePath
from dragon.protocol.claims.status import Transition
from dragon.protocol.history import History
from dragon_operator.components import Components
from dragon_operator.evidence_store import StoredRecord

MAX_EVIDENCE_PAGE: Final = 200  # records of one answer
_ERRORS: Final = (*PAGING_ERRORS, errors.InvalidId, errors.MissingMember)


class EvidenceQuery(Query):
    begin: Annotated[int, integer(name="from"), Field(alias="from")]
    end: Annotated[int, integer(name="to"), Field(alias="to")]
    after: Annotated[int, integer()] = 0
    limit: Annotated[int, integer(1, MAX_EVIDENCE_PAGE)] = 100


class MomentQuery(Query):
    at: Annotated[int, integer()]


def routes(components: Components) -> Routes:
    routes = Routes("evidence", __name__)

    @routes.get(
        "/evidence/<node_id>",
        responses=responses(schemas.EvidencePage, *_ERRORS, errors.LogDamaged),
    )
    def evidence(path: NodePath, query: EvidenceQuery) -> Response:
        """List signed records of what this operator saw of a node and answered, oldest first.

        They are those that were sealed in [from, to], and the one before.
        """
        if query.end < query.begin:
            message = f"`to` ({query.end}) must not be earlier than `from` ({query.begin})"
            raise errors.IntegerOutOfRange(message, member="to")
        found = components.evidence.store.page(
            path.node_id, query.begin, query.end, after=query.after, limit=query.limit + 1
        )
        listed, following = page(found, query.limit, lambda each: each.id)
        seals = {each.seal: json.loads(each.seal) for each in listed}
        return jsonify(
            operator=components.myself,
            seals=list(seals.values()),
            records=[_record(each, seals[each.seal]) for each in listed],
            next=following,
        )

    @routes.get("/nodes/<node_id>/transitions", responses=responses(schemas.Transitions, *_ERRORS))
    def transitions(path: NodePath, query: MomentQuery) -> Response:
        """List the node's last certified change of status at or before a time, and the next one."""
        moves = components.log.state.nodes.get(path.node_id, History())
        at = bisect_right(moves, query.at, key=lambda move: move.timestamp)
        nearest = [move for move in moves[max(0, at - 1) : at + 1] if move.status]
        return jsonify(transitions=[_transition(move) for move in nearest])

    return routes


def _transition(move: Transition) -> dict[str, object]:
    return {"status": str(move.status), "timestamp": move.timestamp, "position": move.position}


def _record(stored: StoredRecord, seal: dict[str, object]) -> dict[str, object]:
    return {
        "record": json.loads(stored.record),
        "chain": seal["chain"],
        "number": seal["number"],
        "index": stored.index,
        "path": [to_hex(sibling) for sibling in stored.path],
    }
