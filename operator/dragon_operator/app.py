"""An operator's face: HTTP in, HTTP out, nothing decided here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flask import Blueprint, Flask, Response, jsonify, request

from dragon.claim import NONCE_SIZES, RefusalReason, Status, StatusClaim
from dragon.clients.probe import NONCE_BYTES
from dragon.committee import Committee
from dragon.encoding import Json, Members, from_hex, to_hex
from dragon.errors import InvalidEncoding, NotFound
from dragon.event import LoggedEvent
from dragon.log.follow import Follower
from dragon.log.repository import Log
from dragon.web import app as web
from dragon_operator.attester import Attester
from dragon_operator.peers import Peers
from dragon_operator.reporter import Reporter


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What an operator's app is built around."""

    committee: Committee
    myself: str
    attester: Attester
    reporter: Reporter
    log: Log
    follower: Follower
    peers: Peers
    entropy: Callable[[int], bytes]


def create_app(own: Collaborators) -> Flask:
    """Build the app around what it needs. Nothing here reads a file or the environment."""
    app = web.create("dragon_operator", lambda: _not_ready(own))
    app.register_blueprint(_answers(own))
    app.register_blueprint(_record(own))
    return app


def _not_ready(own: Collaborators) -> Iterator[str]:
    if alarm := own.log.alarm():
        yield f"alarm: {alarm.reason}: {alarm.detail}"
    elif not own.follower.caught_up:
        yield f"ledger: {own.follower.trouble or 'not read to its end'}"
    if own.peers.clock_is_wrong():
        yield "clock: more than 2 s off, by the peers"
    if own.peers.is_blind(own.peers.sights):
        yield "blind: too few peers answer for a quorum"


def _answers(own: Collaborators) -> Blueprint:
    """What an operator signs."""
    routes = Blueprint("answers", __name__)

    @routes.get("/status")
    def status() -> Response:
        web.check_query("nonce")
        stated = request.args.get("nonce")
        # Without a nonce the answer is signed all the same, but says nothing about when.
        nonce = own.entropy(NONCE_BYTES)
        if stated is not None:
            nonce = from_hex(stated, member="nonce", size=NONCE_SIZES)
        answer, signature = own.attester.answer(nonce)
        return jsonify({**answer.members(), "signature": to_hex(signature)})

    @routes.post("/attestations")
    def attest() -> Response:
        try:
            claim = StatusClaim.from_json(web.body())
        except InvalidEncoding as error:
            error.facts["reason"] = RefusalReason.MALFORMED
            raise
        signature = own.attester.attest(claim)
        return jsonify(operator=own.myself, signature=to_hex(signature))

    @routes.post("/reports")
    def report() -> tuple[Response, int]:
        members = Members(web.body(), "the report")
        node_id, status_ = members.id("node_id"), Status(members.word("status", Status))
        members.end()
        report_ = own.reporter.report(node_id, status_)
        body = {"suspicion": report_.suspicion.members(), "delivered": list(report_.delivered)}
        return jsonify(body), 202

    return routes


def _record(own: Collaborators) -> Blueprint:
    """What an operator knows: the log, for anyone to read and check."""
    routes = Blueprint("record", __name__)

    @routes.get("/nodes")
    def nodes() -> Response:
        web.check_query()
        return jsonify(nodes=[_node(own, node_id) for node_id in own.committee.urls])

    @routes.get("/logs")
    def logs() -> Response:
        web.check_query("node_id", "after", "limit")
        limit = web.query_integer("limit", 100, least=1, most=web.MAX_PAGE)
        rows = own.log.rows(web.query_id("node_id"), web.query_integer("after", 0), limit)
        columns = ("id", "node_id", "status", "timestamp", "signature")
        listed = [{column: getattr(row, column) for column in columns} for row in rows]
        return jsonify(logs=listed, next=rows[-1].id if len(rows) == limit else None)

    @routes.get("/checkpoint")
    def checkpoint() -> Response:
        web.check_query()
        now = own.log.checkpoint()
        return jsonify(
            size=now.size,
            root=to_hex(now.root),
            ledger_index=own.log.position.index,
            committee=to_hex(own.committee.id),
        )

    @routes.get("/events/<int:position>")
    def event(position: int) -> Response:
        web.check_query("size")
        if position >= 2**62:
            raise NotFound("no log is that long")
        size = own.log.checkpoint().size
        return jsonify(_event(own, position, web.query_integer("size", size, most=size)))

    return routes


def _node(own: Collaborators, node_id: str) -> dict[str, object]:
    last = own.log.state.last(node_id)
    seen = own.peers.sights.get(node_id)
    return {
        "node_id": node_id,
        "kind": "operator" if node_id in own.committee.keys else "target",
        "status": str(last.status) if last else "unknown",
        "since": last.timestamp if last else None,
        "seen": {"status": str(seen.status), "reason": seen.reason} if seen else None,
    }


def _event(own: Collaborators, position: int, size: int) -> dict[str, Json]:
    """One entry with its path to the root of a log of `size`: what `dragon verify event` takes."""
    entry = own.log.entry(position)
    logged = LoggedEvent(
        position,
        entry.event,
        entry.ledger_index,
        entry.ledger_time,
        size,
        own.log.checkpoint(size).root,
        tuple(own.log.inclusion(position, size)),
    )
    return logged.to_json()
