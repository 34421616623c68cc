"""An aggregator's face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flask import Blueprint, Flask, Response, jsonify

from dragon import bls
from dragon.claim import Suspicion
from dragon.clients.probe import Sight
from dragon.committee import Committee
from dragon.encoding import Members, to_hex
from dragon.log.follow import Follower
from dragon.log.repository import Log
from dragon.web import app as web
from dragon_aggregator.certify import Gathering
from dragon_aggregator.outbox import Outbox, Pending, Submitter
from dragon_aggregator.watch import KEPT_ROUNDS, Round, Watch


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What an aggregator's app is built around."""

    committee: Committee
    watch: Watch
    outbox: Outbox
    submitter: Submitter
    log: Log
    follower: Follower


def create_app(own: Collaborators) -> Flask:
    """Build the app around what it needs. Nothing here reads a file or the environment."""
    app = web.create("dragon_aggregator", lambda: _not_ready(own))
    app.register_blueprint(_routes(own))
    return app


def _not_ready(own: Collaborators) -> Iterator[str]:
    if alarm := own.log.alarm():
        yield f"alarm: {alarm.reason}: {alarm.detail}"
    elif not own.follower.caught_up:
        yield f"ledger: {own.follower.trouble or 'not read to its end'}"
    if own.watch.clock_is_wrong():
        yield "clock: more than 2 s off, by the operators"
    if own.watch.recent and own.watch.recent[-1].overran:
        yield "rounds: the last one overran"


def _routes(own: Collaborators) -> Blueprint:
    routes = Blueprint("aggregator", __name__)

    @routes.get("/rounds")
    def rounds() -> Response:
        web.check_query("limit")
        limit = web.query_integer("limit", 10, least=1, most=KEPT_ROUNDS)
        recent = list(own.watch.recent)[-limit:]
        return jsonify(rounds=[_round(record) for record in reversed(recent)])

    @routes.get("/outbox")
    def outbox() -> Response:
        web.check_query()
        return jsonify(outbox=[_pending(entry) for entry in own.outbox.pending()])

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

    @routes.post("/suspicions")
    def suspect() -> tuple[Response, int]:
        members = Members(web.body(), "the suspicion")
        suspicion = Suspicion.take(members)
        signature = members.hex("signature", size=bls.SIGNATURE_BYTES)
        members.end()
        return jsonify(gathering=own.watch.suspect(suspicion, signature)), 202

    return routes


def _round(record: Round) -> dict[str, object]:
    return {
        "number": record.number,
        "start": record.start,
        "begun_late_ms": round(1000 * (record.begun_at - record.start)),
        "took_ms": None if record.took is None else round(1000 * record.took),
        "overran": record.overran,
        "skipped": record.skipped,
        "note": record.note,
        "probes": [_probe(sight) for sight in record.sights],
        "gatherings": [_gathering(gathering) for gathering in list(record.gatherings)],
    }


def _pending(entry: Pending) -> dict[str, object]:
    return {
        "event": entry.event.to_json(),
        "sends": entry.sends,
        "sent_at": None if entry.sent_at is None else int(entry.sent_at),
    }


def _probe(sight: Sight) -> dict[str, object]:
    return {
        "node_id": sight.node_id,
        "seen": str(sight.status),
        "reason": sight.reason,
        "latency_ms": sight.latency_ms,
        "clock_offset_ms": sight.offset_ms,
    }


def _gathering(gathering: Gathering) -> dict[str, object]:
    answers = [
        {
            "operator": operator,
            "answer": gathering.outcome_of(operator),
            "latency_ms": answer.latency_ms if answer else None,
        }
        for operator in gathering.asked
        for answer in [gathering.answers.get(operator)]
    ]
    return {
        "claim": gathering.claim.members(),
        "needed": gathering.needed,
        "certified": gathering.certificate is not None,
        "answers": answers,
    }
