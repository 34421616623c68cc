"""`POST /proofs` and `POST /verifications`: jobs for the pool, from JSON or from bytes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated, Any, Final

from flask import Response, jsonify, request

from dragon import errors
from dragon.encoding import to_hex
from dragon.node import app as web
from dragon.node import auth, client_gone
from dragon.node.admission import COST_MS
from dragon.node.openapi import (
    BODY_ERRORS,
    BODY_TOO_LARGE,
    REQUIRES_TOKEN,
    Routes,
    responses,
)
from dragon.node.parameters import Parameter, Query
from dragon.stark.parameter_sets import SETS
from dragon.stark.prover.randomness import RHO_BYTES
from dragon_zkp import request_parsing, schemas
from dragon_zkp.components import Components
from dragon_zkp.messages import Job, Prove, Verify

OCTET_STREAM: Final = "application/octet-stream"
VERIFICATION_COST_MS: Final = 50.0  # processor time of a worker that the client is charged
MAX_ATTEMPTS: Final = 3  # one unlucky challenge is already improbable (section 18.12)
_SET_SCHEMA: Final = {"type": "string", "enum": list(SETS)}
_FAILURES: Final = (
    errors.TooLarge,
    errors.InvalidEncoding,
    errors.ProofRefused,
    errors.WrongWitness,
    errors.UnsafeParameters,
    errors.WorkerDied,
    errors.Overdue,
    errors.Busy,
)


class SetQuery(Query):
    """The parameter set of a request in bytes. JSON requests name the set in their body."""

    parameter_set: Annotated[str, Parameter(lambda text, _: text, _SET_SCHEMA)] = ""


def routes(components: Components) -> Routes:
    """The blueprint of both endpoints."""
    blueprint = Routes("proofs", __name__)

    @blueprint.post(
        "/proofs",
        security=REQUIRES_TOKEN,
        request_body=_or_bytes(blueprint.request_body(schemas.ProofRequest)),
        responses={
            **responses(schemas.Proof, *BODY_ERRORS, *_FAILURES, errors.Unauthorized),
            **BODY_TOO_LARGE,
        },
    )
    def prove(query: SetQuery) -> Response:
        """Make a proof. Requires the bearer token. The request is not stored."""
        auth.check(auth.is_same(components.token), "proving requires this service's bearer token")
        job = _prove_job(components, query.parameter_set)
        proof = _prove_with_retries(components, job)
        if request.accept_mimetypes.best == OCTET_STREAM:
            return Response(proof, mimetype=OCTET_STREAM)
        return jsonify(parameter_set=job.statement.parameter_set, proof=to_hex(proof))

    @blueprint.post(
        "/verifications",
        request_body=_or_bytes(blueprint.request_body(schemas.VerificationRequest)),
        responses={**responses(schemas.Verdict, *BODY_ERRORS, *_FAILURES), **BODY_TOO_LARGE},
    )
    def verify(query: SetQuery) -> Response:
        """Verify a proof. An invalid proof is answered with status 200 and `valid: false`."""
        request.environ[COST_MS] = VERIFICATION_COST_MS
        try:
            _run(components, "verify", _verify_job(query.parameter_set))
        except errors.ProofRefused as refused:
            return jsonify(valid=False, reason=refused.reason, detail=str(refused))
        return jsonify(valid=True, reason=None, detail=None)

    return blueprint


def _or_bytes(described: dict[str, Any]) -> dict[str, Any]:
    """Add the binary form to the OpenAPI description of a JSON body."""
    described["content"][OCTET_STREAM] = {"schema": {"type": "string", "format": "binary"}}
    return described


def _prove_job(components: Components, parameter_set: str) -> Prove:
    rho = components.entropy(RHO_BYTES)
    if request.mimetype == OCTET_STREAM:
        return request_parsing.prove_from_bytes(parameter_set, web.raw_body(), rho)
    _refuse_set_in_query(parameter_set)
    return request_parsing.prove_from_json(web.raw_body(), rho)


def _verify_job(parameter_set: str) -> Verify:
    if request.mimetype == OCTET_STREAM:
        return request_parsing.verify_from_bytes(parameter_set, web.raw_body())
    _refuse_set_in_query(parameter_set)
    return request_parsing.verify_from_json(web.body())


def _refuse_set_in_query(parameter_set: str) -> None:
    """Raises UnknownMember: a JSON body names the set, and a second name could differ from it."""
    if parameter_set:
        message = (
            "unexpected query parameter parameter_set: a JSON request names the set in its body"
        )
        raise errors.UnknownMember(message, member="parameter_set")


def _prove_with_retries(components: Components, job: Prove) -> bytes:
    """Prove, and start again with fresh randomness after an unlucky challenge."""
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return _run(components, "prove", job)
        except errors.UnluckyChallenge:
            job = replace(job, rho=components.entropy(RHO_BYTES))
    return _run(components, "prove", job)


def _run(components: Components, name: str, job: Job) -> bytes:
    """Run a job in the pool, and count its outcome and duration under `name`."""
    pool = components.verifications if isinstance(job, Verify) else components.pool
    started, outcome = time.perf_counter(), "done"
    try:
        return pool.do(job, components.deadline_seconds, client_gone.of_request(request.environ))
    except errors.DragonError as error:
        outcome = error.name
        raise
    finally:
        components.jobs.labels(name, outcome).inc()
        components.job_seconds.labels(name).observe(time.perf_counter() - started)
