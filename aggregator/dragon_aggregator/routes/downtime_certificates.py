"""Certificates of a node's downtime, made on request."""

from __future__ import annotations

from flask import Response, jsonify

from dragon import errors
from dragon.encoding import Members
from dragon.node import app as web
from dragon.node import schemas
from dragon.node.openapi import BODY_ERRORS, BODY_TOO_LARGE, Routes, responses
from dragon_aggregator.components import Components


def routes(components: Components) -> Routes:
    routes = Routes("downtime_certificates", __name__)

    @routes.post(
        "/downtime-certificates",
        request_body=routes.request_body(schemas.NodeInterval),
        responses={
            **responses(
                schemas.DowntimeCertificate,
                *BODY_ERRORS,
                errors.UnknownNode,
                errors.NotSettled,
                errors.NotCertified,
                errors.LogStopped,
                errors.Busy,
            ),
            **BODY_TOO_LARGE,
        },
    )
    def certify_downtime() -> Response:
        """Certify a node's downtime in [from, to). The certificate is not put onto the ledger."""
        members = Members(web.body(), "the period")
        node_id, begin = members.id("node_id"), members.integer("from")
        end = members.integer("to", least=begin + 1)
        members.end()
        return jsonify(components.downtime.certify(node_id, begin, end).to_json())

    return routes
