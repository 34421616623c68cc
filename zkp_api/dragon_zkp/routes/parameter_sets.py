"""`GET /parameter-sets`: the named parameter sets and their security figures."""

from __future__ import annotations

import functools

from flask import Response, jsonify

from dragon.node.openapi import Routes, responses
from dragon.stark.parameter_sets import BLOCK_ROWS, SETS, ParameterSet
from dragon.stark.parameters import Slack
from dragon.stark.security import set_security
from dragon_zkp import schemas


def routes() -> Routes:
    """The blueprint of this endpoint."""
    blueprint = Routes("parameter_sets", __name__)

    @blueprint.get("/parameter-sets", responses=responses(schemas.ParameterSets))
    def parameter_sets() -> Response:
        """List all parameter sets with their security figures for each number of blocks."""
        return jsonify(parameter_sets=[_described(name) for name in SETS])

    return blueprint


@functools.cache
def _described(name: str) -> dict[str, object]:
    chosen = SETS[name]
    strict = chosen.slack is Slack.STRICT
    return {
        "name": name,
        "zero_knowledge": "strict" if strict else "heuristic",
        "figures": [_figures(chosen, n_blocks) for n_blocks in chosen.block_counts()],
    }


def _figures(chosen: ParameterSet, n_blocks: int) -> dict[str, object]:
    parameters, security = chosen.parameters(n_blocks), set_security(chosen, n_blocks)
    rows = parameters.trace_length(BLOCK_ROWS * n_blocks)
    sizes = {"blocks": n_blocks, "rows": rows, "queries": parameters.n_queries}
    return {**sizes, **security.rounded()}
