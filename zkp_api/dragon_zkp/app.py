"""The prover over HTTP. It decides nothing."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final

from flask import Response, jsonify, request
from flask_openapi.openapi import OpenAPI
from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import Metric

from dragon import errors
from dragon.encoding import to_hex
from dragon.node import app as web
from dragon.node import auth, metrics
from dragon.node.metrics import StateCollector
from dragon.node.openapi import BODY_ERRORS, BODY_TOO_LARGE, Routes, responses
from dragon.node.parameters import Parameter, Query
from dragon.stark.parameter_sets import BLOCK_ROWS, SETS, ParameterSet
from dragon.stark.parameters import Slack
from dragon.stark.prover.blocks import RHO_BYTES
from dragon.stark.security import set_security
from dragon_zkp import request_parsing, schemas
from dragon_zkp.messages import Job, Prove, Verify
from dragon_zkp.pool import Pool
from dragon_zkp.selfcheck import SelfCheck

MAX_BODY_BYTES: Final = 1 << 20
OCTET_STREAM: Final = "application/octet-stream"
ATTEMPTS: Final = 3  # an unlucky challenge is so rare that a second one is a fault


@dataclass(frozen=True, slots=True)
class Components:
    pool: Pool
    check: SelfCheck
    entropy: Callable[[int], bytes]
    seconds: float
    token: str = field(repr=False)
    proofs: Counter
    took: Histogram


_ONE_OF_THEM: Final = {"type": "string", "enum": list(SETS)}


class SetQuery(Query):
    """Which set, where the body is bytes."""

    parameter_set: Annotated[str, Parameter(lambda text, _: text, _ONE_OF_THEM)] = ""


def create_app(own: Components) -> OpenAPI:
    app = web.create(
        "zkp_api",
        lambda: _not_ready(own),
        title="DataDragon prover",
        collectors=[own.proofs, own.took, StateCollector(lambda: _metrics(own))],
        max_body=MAX_BODY_BYTES,
        unhealthy=lambda: [own.check.trouble] if own.check.trouble else [],
    )
    app.register_api(_routes(own))
    return app


def counters() -> tuple[Counter, Histogram]:
    outcomes = Counter("datadragon_zkp_jobs", "Finished jobs.", ["job", "outcome"], registry=None)
    buckets = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
    took = Histogram(
        "datadragon_zkp_job_seconds",
        "From asking to answer.",
        ["job"],
        buckets=buckets,
        registry=None,
    )
    return outcomes, took


def _not_ready(own: Components) -> Iterator[str]:
    if own.pool.boot:
        yield own.pool.boot
    if own.check.trouble:
        yield own.check.trouble


def _metrics(own: Components) -> Iterator[Metric]:
    yield metrics.gauge("zkp_workers_at_work", "Workers that are not idle.", own.pool.at_work)
    yield metrics.gauge("zkp_workers_replaced", "Workers that died or hung.", own.pool.replaced)
    yield metrics.gauge("zkp_self_checks", "Self-checks that went well.", own.check.done)


_FAILURES: Final = (
    errors.ProofRefused,
    errors.WrongWitness,
    errors.UnsafeParameters,
    errors.WorkerDied,
    errors.Overdue,
    errors.Busy,
)


def _routes(own: Components) -> Routes:
    routes = Routes("proofs", __name__)

    @routes.post(
        "/proofs",
        request_body=_or_bytes(routes.request_body(schemas.ProofRequest)),
        responses={
            **responses(schemas.Proof, *BODY_ERRORS, *_FAILURES, errors.Unauthorized),
            **BODY_TOO_LARGE,
        },
    )
    def prove(query: SetQuery) -> Response:
        """Make a proof. Needs the token; `rho` is drawn here, and nothing is kept."""
        auth.check(auth.is_same(own.token), "proving needs the token of this service")
        job = _prove_job(own, query.parameter_set)
        proof = _retried(own, job)
        if request.accept_mimetypes.best == OCTET_STREAM:
            return Response(proof, mimetype=OCTET_STREAM)
        return jsonify(parameter_set=job.statement.parameter_set, proof=to_hex(proof))

    @routes.post(
        "/verifications",
        request_body=_or_bytes(routes.request_body(schemas.VerificationRequest)),
        responses={**responses(schemas.Verdict, *BODY_ERRORS, *_FAILURES), **BODY_TOO_LARGE},
    )
    def verify(query: SetQuery) -> Response:
        """Check a proof. The verdict is the answer; a refusal is no error."""
        try:
            _timed(own, "verify", _verify_job(query.parameter_set))
        except errors.ProofRefused as refused:
            return jsonify(valid=False, reason=refused.reason, detail=str(refused))
        return jsonify(valid=True, reason=None, detail=None)

    @routes.get("/parameter-sets", responses=responses(schemas.ParameterSets))
    def parameter_sets() -> Response:
        """Every set with its figures, for each number of blocks."""
        return jsonify(parameter_sets=[_described(name) for name in SETS])

    return routes


def _or_bytes(described: dict[str, Any]) -> dict[str, Any]:
    described["content"][OCTET_STREAM] = {"schema": {"type": "string", "format": "binary"}}
    return described


def _prove_job(own: Components, parameter_set: str) -> Prove:
    rho = own.entropy(RHO_BYTES)
    if request.mimetype == OCTET_STREAM:
        return request_parsing.prove_from_bytes(parameter_set, web.raw_body(), rho)
    _only_in_the_body(parameter_set)
    return request_parsing.prove_from_json(web.raw_body(), rho)


def _verify_job(parameter_set: str) -> Verify:
    if request.mimetype == OCTET_STREAM:
        return request_parsing.verify_from_bytes(parameter_set, web.raw_body())
    _only_in_the_body(parameter_set)
    return request_parsing.verify_from_json(web.body())


def _only_in_the_body(parameter_set: str) -> None:
    """Raises UnknownMember: JSON names the set itself, and two names could be two sets."""
    if parameter_set:
        message = "a request in JSON names its parameter_set in its body"
        raise errors.UnknownMember(message, member="parameter_set")


def _retried(own: Components, job: Prove) -> bytes:
    for _ in range(ATTEMPTS - 1):
        try:
            return _timed(own, "prove", job)
        except errors.UnluckyChallenge:
            job = replace(job, rho=own.entropy(RHO_BYTES))
    return _timed(own, "prove", job)


def _timed(own: Components, name: str, job: Job) -> bytes:
    begun, outcome = time.perf_counter(), "done"
    try:
        return own.pool.do(job, own.seconds)
    except errors.DragonError as error:
        outcome = error.name
        raise
    finally:
        own.proofs.labels(name, outcome).inc()
        own.took.labels(name).observe(time.perf_counter() - begun)


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
    shown = {"blocks": n_blocks, "rows": rows, "queries": parameters.n_queries}
    return {**shown, **security.rounded()}
