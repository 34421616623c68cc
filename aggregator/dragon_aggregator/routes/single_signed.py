"""Events that one member signs alone: experts' endorsements, and announcements of maintenance."""

from __future__ import annotations

from typing import Final

from flask import Response, jsonify

from dragon import errors
from dragon.node import app as web
from dragon.node import schemas
from dragon.node.openapi import BODY_ERRORS, BODY_TOO_LARGE, Routes, responses
from dragon.protocol.claims.base import ordering_key
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.maintenance import Maintenance
from dragon.protocol.transition import check_applicable, check_committee
from dragon_aggregator.components import Components

# Of one expert, or about one node; accepted and not yet in the log.
MAX_PENDING_SINGLE_SIGNED: Final = 16
# A timestamp may be ahead of the aggregator's clock by three rounds, and by 15 s at least.
EARLY_ROUNDS: Final = 3
MIN_EARLY_SECONDS: Final = 15
_ERRORS: Final = (
    errors.Superseded,
    errors.WrongCommittee,
    errors.BadSignature,
    errors.InvalidSignature,
    errors.AppliedAlready,
    errors.Stale,
    errors.BeforeSeat,
    errors.Early,
    errors.LogStopped,
    errors.Busy,
)
_ENDORSEMENT_ERRORS: Final = (
    *_ERRORS,
    errors.UnknownSigner,
    errors.NoSuchWindow,
    errors.NotLater,
)
_MAINTENANCE_ERRORS: Final = (
    *_ERRORS,
    errors.UnknownNode,
    errors.NoOwner,
    errors.TooLate,
    errors.TooFar,
    errors.EnoughAnnounced,
)


def routes(components: Components) -> Routes:
    routes = Routes("single_signed", __name__)

    @routes.post(
        "/endorsements",
        request_body=routes.request_body(schemas.Endorsement),
        responses={
            **responses(schemas.Accepted, *BODY_ERRORS, *_ENDORSEMENT_ERRORS, status=202),
            **BODY_TOO_LARGE,
        },
    )
    def endorse() -> tuple[Response, int]:
        """Accept an expert's endorsement of windows, and submit it to the ledger."""
        return _accept(components, Endorsement.from_json(web.body()))

    @routes.post(
        "/maintenance",
        request_body=routes.request_body(schemas.Maintenance),
        responses={
            **responses(schemas.Accepted, *BODY_ERRORS, *_MAINTENANCE_ERRORS, status=202),
            **BODY_TOO_LARGE,
        },
    )
    def announce() -> tuple[Response, int]:
        """Accept an announcement of a node's maintenance, and submit it to the ledger."""
        return _accept(components, Maintenance.from_json(web.body()))

    return routes


def _accept(components: Components, event: Endorsement | Maintenance) -> tuple[Response, int]:
    _check(components, event)
    components.outbox.add(event, not_before=0.0)
    return jsonify(accepted=True), 202


def _check(components: Components, event: Endorsement | Maintenance) -> None:
    """Refuse what the log would not apply now, so that it takes no place in the outbox."""
    log, committee, claim = components.log, components.committee, event.claim
    if alarm := log.alarm():
        raise errors.LogStopped(alarm.detail, reason=alarm.reason)
    check_committee(event.committee_id, log.state)
    event.check(committee)
    _check_not_early(components, claim.timestamp)
    check_applicable(log.state, claim)
    event.verify(committee)
    pending = components.outbox.claims(ordering_key(claim))
    if claim in pending:
        raise errors.AppliedAlready(f"{event.WHAT} was already accepted and is pending")
    if len(pending) >= MAX_PENDING_SINGLE_SIGNED:
        message = (
            f"{len(pending)} {claim.KIND} events by {event.signer_in(committee)} are pending, the "
            "maximum"
        )
        raise errors.Busy(message)


def _check_not_early(components: Components, timestamp: int) -> None:
    """Refuse a timestamp that is ahead of our clock.

    The log has no clock and accepts timestamps minutes ahead, or more. Such an endorsement would
    supersede the expert's later ones, and an event that the log does not apply would stay in the
    outbox until its timestamp is stale. Usually such a timestamp is a mistake.
    """
    most = max(EARLY_ROUNDS * components.committee.rounds.seconds, MIN_EARLY_SECONDS)
    if (early := timestamp - int(components.wall())) > most:
        message = (
            f"the timestamp is {early} s ahead of the aggregator's clock; at most {most} s are "
            "allowed"
        )
        raise errors.Early(message, early=early, most=most)
