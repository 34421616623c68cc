"""`POST /beats`: a target that nobody can reach from outside shows that it is up."""

from __future__ import annotations

from flask import Response, jsonify, request

from dragon import errors
from dragon.encoding import Members
from dragon.node import app as web
from dragon.node import schemas
from dragon.node.addresses import client_key
from dragon.node.admission import BEATS_PATH, Client, is_from_member
from dragon.node.beat_book import BeatBook
from dragon.node.openapi import BODY_ERRORS, BODY_TOO_LARGE, Routes, responses
from dragon.protocol.beats import SignedBeat


def routes(book: BeatBook, *, direct: bool) -> Routes:
    """Build the route.

    Args:
        direct: whether targets may send their beats here; False: only operators pass them on.
    """
    routes = Routes("beats", __name__)

    @routes.post(
        BEATS_PATH,
        request_body=routes.request_body(schemas.Beat),
        responses={
            **responses(
                schemas.BeatTaken,
                *BODY_ERRORS,
                errors.UnknownNode,
                errors.NotHeartbeatTarget,
                errors.UnknownSigner,
                errors.BeatTooOld,
                errors.BeatTooEarly,
                errors.BeatNotLater,
                errors.InvalidSignature,
                errors.BadSignature,
            ),
            **BODY_TOO_LARGE,
        },
    )
    def beat() -> Response:
        """Receive a target's signed beat; an operator passes it on to all others."""
        members = Members(web.body(), "the beat")
        signed = SignedBeat.take(members)
        passed_on_by = members.id("passed_on_by") if "passed_on_by" in members else ""
        members.end()
        if not (passed_on_by or direct):
            message = "passed_on_by is missing: a target sends its beats to an operator"
            raise errors.MissingMember(message, member="passed_on_by")
        sender = Client(
            client_key(request.environ.get("REMOTE_ADDR", "")), is_from_member(request.environ)
        )
        taken = book.take(signed, sender, passed_on_by)
        return jsonify(
            new=taken.is_new, offset_ms=taken.offset_ms, every_seconds=taken.every_seconds
        )

    return routes
