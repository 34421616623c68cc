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
from dragon.stark.randomness import RHO_BYTES
from dragon_zkp import request_parsing, schemas
from dragon_zkp.components import Components
from dragon_zkp.messages import Job, Prove, Verify
from dragon_zkp.statement_parsing import BLOCKS, KINDS

OCTET_STREAM: Final = "application/octet-stream"
VERIFICATION_COST_MS: Final = 50.0  # processor time of a worker that the client is charged
MAX_ATTEMPTS: Final = 3  # one unlucky challenge is already improbable (section 18.12)
_SET_SCHEMA: Final = {"type": "string", "enum": list(SETS)}
_KIND_SCHEMA: Final = {"type": "string", "enum": list(KINDS)}
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


def _kind(text: str, name: str) -> str:
    if text not in KINDS:
        raise errors.UnknownValue(f"{name} must be one of {', '.join(KINDS)}", member=name)
    return text


class BytesQuery(Query):
    """What a request in bytes does not say in its body. JSON requests say it there."""

    parameter_set: Annotated[str, Parameter(lambda text, _: text, _SET_SCHEMA)] = ""
    statement: Annotated[str, Parameter(_kind, _KIND_SCHEMA)] = ""


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
    def prove(query: BytesQuery) -> Response:
        """Make a proof. Requires the bearer token. The request is not stored."""
        auth.check(auth.is_same(components.token), "proving requires this service's bearer token")
        job = _prove_job(components, query)
        proof = _prove_with_retries(components, job)
        if request.accept_mimetypes.best == OCTET_STREAM:
            return Response(proof, mimetype=OCTET_STREAM)
        return jsonify(parameter_set=job.statement.parameter_set, proof=to_hex(proof))

    @blueprint.post(
        "/verifications",
        request_body=_or_bytes(blueprint.request_body(schemas.VerificationRequest)),
        responses={**responses(schemas.Verdict, *BODY_ERRORS, *_FAILURES), **BODY_TOO_LARGE},
    )
    def verify(query: BytesQuery) -> Response:
        """Verify a proof. An invalid proof is answered with status 200 and `valid: false`."""
        request.environ[COST_MS] = VERIFICATION_COST_MS
        try:
            _run(components, "verify", _verify_job(query))
        except errors.ProofRefused as refused:
            return jsonify(valid=False, reason=refused.reason, detail=str(refused))
        return jsonify(valid=True, reason=None, detail=None)

    return blueprint


def _or_bytes(described: dict[str, Any]) -> dict[str, Any]:
    """Add the binary form to the OpenAPI description of a JSON body."""
    described["content"][OCTET_STREAM] = {"schema": {"type": "string", "format": "binary"}}
    return described


def _prove_job(components: Components, query: BytesQuery) -> Prove:
    rho = components.entropy(RHO_BYTES)
    if request.mimetype == OCTET_STREAM:
        kind = query.statement or BLOCKS
        return request_parsing.prove_from_bytes(query.parameter_set, web.raw_body(), rho, kind)
    _refuse_query(query)
    return request_parsing.prove_from_json(web.raw_body(), rho)


def _verify_job(query: BytesQuery) -> Verify:
    if request.mimetype == OCTET_STREAM:
        kind = query.statement or BLOCKS
        return request_parsing.verify_from_bytes(query.parameter_set, web.raw_body(), kind)
    _refuse_query(query)
    return request_parsing.verify_from_json(web.body())


def _refuse_query(query: BytesQuery) -> None:
    """Raises UnknownMember: a JSON body says the same, and a second word could differ from it."""
    for name in (name for name, value in query if value):
        message = f"unexpected query parameter {name}: a JSON request states it in its body"
        raise errors.UnknownMember(message, member=name)


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
