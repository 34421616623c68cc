"""Suspicions: an operator's signed notice that a node has changed."""

from __future__ import annotations

from flask import Response, jsonify

from dragon import errors
from dragon.encoding import Members
from dragon.node import app as web
from dragon.node import schemas
from dragon.node.openapi import BODY_ERRORS, BODY_TOO_LARGE, Routes, responses
from dragon.protocol import bls
from dragon.protocol.messages import Suspicion
from dragon_aggregator.components import Components


def routes(components: Components) -> Routes:
    routes = Routes("suspicions", __name__)

    @routes.post(
        "/suspicions",
        request_body=routes.request_body(schemas.Suspicion),
        responses={
            **responses(
                schemas.SuspicionTaken,
                *BODY_ERRORS,
                errors.UnknownNode,
                errors.UnknownSigner,
                errors.OffRound,
                errors.BadSignature,
                errors.Busy,
                status=202,
            ),
            **BODY_TOO_LARGE,
        },
    )
    def suspect() -> tuple[Response, int]:
        """Accept an operator's signed suspicion; `gathering`: the operators are asked about it."""
        members = Members(web.body(), "the suspicion")
        suspicion = Suspicion.take(members)
        signature = members.hex("signature", size=bls.SIGNATURE_BYTES)
        members.end()
        return jsonify(gathering=components.monitor.suspect(suspicion, signature)), 202

    return routes
