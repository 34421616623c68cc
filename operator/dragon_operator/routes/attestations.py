"""Statements that an operator signs: status answers, attestations and suspicions."""

from __future__ import annotations

from typing import Annotated, Final

from flask import Response, jsonify, request
from prometheus_client import Counter

from dragon import errors
from dragon.encoding import Members, to_hex
from dragon.errors import AttestationRefused, InvalidEncoding
from dragon.node import app as web
from dragon.node import schemas
from dragon.node.admission import is_from_member
from dragon.node.openapi import BODY_ERRORS, BODY_TOO_LARGE, Routes, responses
from dragon.node.parameters import Query, hexadecimal
from dragon.probing.prober import NONCE_BYTES
from dragon.protocol.claims import from_json as claim_from_json
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.messages import NONCE_SIZES
from dragon.protocol.refusal import RefusalReason
from dragon_operator.components import Components

_REPORT_ERRORS: Final = (
    errors.UnknownNode,
    AttestationRefused,
    errors.Busy,
    errors.Unreachable,
)


class StatusQuery(Query):
    nonce: Annotated[bytes | None, hexadecimal(NONCE_SIZES)] = None


def routes(components: Components, attested: Counter) -> Routes:
    """Build the routes; `attested` counts attestations and refusals."""
    routes = Routes("attestations", __name__)
    _add_status(routes, components)
    _add_attestations(routes, components, attested)
    _add_reports(routes, components)
    return routes


def _add_status(routes: Routes, components: Components) -> None:
    @routes.get(
        "/status",
        responses=responses(schemas.StatusAnswer, errors.UnknownMember, errors.InvalidHex),
    )
    def status(query: StatusQuery) -> Response:
        """Answer the caller's nonce with a signature, which proves that this operator is up."""
        # Without a nonce from the caller, the signed answer does not prove when it was made.
        nonce = components.entropy(NONCE_BYTES) if query.nonce is None else query.nonce
        answer, signature = components.attester.answer(nonce)
        return jsonify({**answer.members(), "signature": to_hex(signature)})


def _add_attestations(routes: Routes, components: Components, attested: Counter) -> None:
    @routes.post(
        "/attestations",
        request_body=routes.request_body(
            *(schemas.Status, schemas.Checkpoint, schemas.Downtime, schemas.Window),
            *(schemas.Handover, schemas.Acceptance, schemas.Period),
        ),
        responses={
            **responses(schemas.Attestation, *BODY_ERRORS, AttestationRefused),
            **BODY_TOO_LARGE,
        },
    )
    def attest() -> Response:
        """Sign a claim that this operator has verified itself."""
        try:
            claim = claim_from_json(web.body())
            signed = components.attester.attest(claim, is_member=is_from_member(request.environ))
        except InvalidEncoding as error:
            error.facts["reason"] = RefusalReason.MALFORMED
            attested.labels(RefusalReason.MALFORMED).inc()
            raise
        except AttestationRefused as error:
            attested.labels(error.reason).inc()
            components.heard_rounds.note_claim(claim, error.reason)
            if isinstance(claim, StatusClaim):
                components.evidence.note_refusal(claim, error.reason, str(error))
            raise
        attested.labels("signed").inc()
        components.heard_rounds.note_claim(claim)
        if isinstance(claim, StatusClaim):
            components.evidence.note_repetition(claim)
        return jsonify(operator=components.myself, **signed.members())


def _add_reports(routes: Routes, components: Components) -> None:
    @routes.post(
        "/reports",
        request_body=routes.request_body(schemas.Report),
        responses={
            **responses(schemas.Reported, *BODY_ERRORS, *_REPORT_ERRORS, status=202),
            **BODY_TOO_LARGE,
        },
    )
    def report() -> tuple[Response, int]:
        """Probe a node that is reported to have changed; if it has, notify the aggregators."""
        members = Members(web.body(), "the report")
        node_id, status = members.id("node_id"), Status(members.word("status", Status))
        members.end()
        report = components.reporter.report(node_id, status)
        body = {"suspicion": report.suspicion.members(), "delivered": list(report.delivered)}
        return jsonify(body), 202
