"""Certificates of the downtime of all nodes in a period, made on request."""

from __future__ import annotations

from flask import Response, request

from dragon import errors
from dragon.encoding import Members
from dragon.node import app as web
from dragon.node import schemas
from dragon.node.admission import is_from_member
from dragon.node.openapi import BODY_ERRORS, BODY_TOO_LARGE, Routes, responses
from dragon.protocol.claims.period import MAX_PERIOD_SECONDS
from dragon_aggregator.components import Components


def routes(components: Components) -> Routes:
    routes = Routes("period_certificates", __name__)

    @routes.post(
        "/period-certificates",
        request_body=routes.request_body(schemas.Interval),
        responses={
            **responses(
                schemas.PeriodReport,
                *BODY_ERRORS,
                errors.NotSettled,
                errors.UnsuitablePeriod,
                errors.NotCertified,
                errors.LogStopped,
                errors.Busy,
            ),
            **BODY_TOO_LARGE,
        },
    )
    def certify_period() -> Response:
        """Certify the downtime of all nodes in [from, to), at most 366 days."""
        members = Members(web.body(), "the period")
        begin = members.integer("from")
        end = members.integer("to", least=begin + 1, most=begin + MAX_PERIOD_SECONDS)
        members.end()
        is_member = is_from_member(request.environ)
        report = components.periods.certify(begin, end, is_member=is_member)
        return Response(report, mimetype="application/json")

    return routes
