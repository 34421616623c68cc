"""The probes of the last rounds: which nodes answered this operator, and why others did not."""

from __future__ import annotations

from typing import Annotated, Final

from flask import Response, jsonify

from dragon.encoding import MAX_INTEGER
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import MAX_PAGE_SIZE, page
from dragon.node.parameters import Query, integer
from dragon.probing.probe_history import ProbedRound
from dragon.protocol.rounds import Rounds
from dragon_operator.components import Components

MAX_LISTED_PROBES: Final = 1000  # of one answer, which has one round at least


class ProbesQuery(Query):
    after: Annotated[int, integer()] = MAX_INTEGER
    limit: Annotated[int, integer(1, MAX_PAGE_SIZE)] = 10


def routes(components: Components) -> Routes:
    routes = Routes("probes", __name__)

    @routes.get("/probes", responses=responses(schemas.ProbedRounds, *PAGING_ERRORS))
    def probes(query: ProbesQuery) -> Response:
        """List the last rounds in which this operator probed nodes, newest first."""
        remaining = components.probe_history.before(query.after)
        limit = min(query.limit, _fitting(remaining))
        listed, following = page(remaining, limit, lambda each: each.number)
        rounds = components.committee.rounds
        return jsonify(rounds=[_round(each, rounds) for each in listed], next=following)

    return routes


def _fitting(remaining: list[ProbedRound]) -> int:
    """How many rounds fit into one answer."""
    probes = 0
    for count, each in enumerate(remaining):
        probes += len(each.results)
        if count and probes > MAX_LISTED_PROBES:
            return count
    return max(1, len(remaining))


def _round(probed: ProbedRound, rounds: Rounds) -> dict[str, object]:
    return {
        "number": probed.number,
        "start": rounds.start(probed.number),
        "probes": [each.to_json() for each in probed.results.values()],
    }
