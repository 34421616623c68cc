"""An aggregator's face."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from flask import Response, jsonify
from flask_openapi.openapi import OpenAPI
from prometheus_client.metrics_core import Metric

from dragon import errors
from dragon.encoding import MAX_INTEGER, Members
from dragon.node import app as web
from dragon.node import metrics, schemas
from dragon.node.metrics import StateCollector
from dragon.node.openapi import BODY_ERRORS, BODY_TOO_LARGE, PAGING_ERRORS, Routes, responses
from dragon.node.paging import IdPageQuery, page
from dragon.node.parameters import Query, integer
from dragon.node.readiness import log_reasons
from dragon.node.routes import log
from dragon.probing import clock_skew
from dragon.probing.prober import ProbeResult
from dragon.protocol import bls
from dragon.protocol.messages import Suspicion
from dragon_aggregator.certifier import AttestationRound
from dragon_aggregator.components import Components
from dragon_aggregator.monitor import KEPT_ROUNDS, Monitor, Round
from dragon_aggregator.outbox import Pending
from dragon_aggregator.routes.submissions import handing_in


class RoundsQuery(Query):
    after: Annotated[int, integer()] = MAX_INTEGER
    limit: Annotated[int, integer(1, KEPT_ROUNDS)] = 10


def create_app(own: Components) -> OpenAPI:
    """Build the app around what it needs. Nothing here reads a file or the environment."""
    app = web.create(
        "dragon_aggregator",
        lambda: _not_ready(own),
        title="DataDragon aggregator",
        collectors=[
            *own.watch.counters,
            *own.windows.counters,
            StateCollector(lambda: _metrics(own)),
        ],
    )
    app.register_api(_routes(own))
    app.register_api(handing_in(own))
    app.register_api(log.routes(own.committee, own.log))
    return app


def _not_ready(own: Components) -> Iterator[str]:
    yield from log_reasons(own.log, own.follower)
    if own.watch.clock_is_wrong():
        yield "clock: more than 2 s off, by the operators"
    if own.watch.recent and own.watch.recent[-1].overran:
        yield "rounds: the last one overran"


def _metrics(own: Components) -> Iterator[Metric]:
    yield from metrics.log_metrics(own.log, own.follower)
    results = _newest_probe_results(own.watch)
    yield metrics.node_metrics({result.node_id: result.answered for result in results})
    offsets = [result.offset_ms for result in results if result.offset_ms is not None]
    yield metrics.clock_offset(clock_skew.median_ms(offsets))
    waiting = len(own.outbox.pending())
    yield metrics.gauge("outbox_pending", "Events on their way to the ledger.", waiting)
    windows = len(own.windows.waiting())
    yield metrics.gauge("windows_waiting", "WindowQueue that the log does not have yet.", windows)


def _newest_probe_results(watch: Monitor) -> list[ProbeResult]:
    """Of the last round that has seen something; the second look at a node where there is one."""
    seen = next(
        (record.probe_results for record in reversed(list(watch.recent)) if record.probe_results),
        [],
    )
    return list({result.node_id: result for result in seen}.values())


def _routes(own: Components) -> Routes:
    routes = Routes("aggregator", __name__)

    @routes.get("/rounds", responses=responses(schemas.Rounds, *PAGING_ERRORS))
    def rounds(query: RoundsQuery) -> Response:
        """The last rounds, newest first."""
        newest_first = reversed(list(own.watch.recent))
        kept = [record for record in newest_first if record.number < query.after]
        listed, following = page(kept, query.limit, lambda record: record.number)
        return jsonify(rounds=[_round(record) for record in listed], next=following)

    @routes.get("/outbox", responses=responses(schemas.Outbox, *PAGING_ERRORS))
    def outbox(query: IdPageQuery) -> Response:
        """Events on their way to the ledger, oldest first."""
        waiting = [entry for entry in own.outbox.pending() if entry.id > query.after]
        listed, following = page(waiting, query.limit, lambda entry: entry.id)
        return jsonify(outbox=[_pending(entry) for entry in listed], next=following)

    @routes.post(
        "/downtime-certificates",
        request_body=routes.request_body(schemas.Period),
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
        """How long a node was down in [from, to), signed by a quorum: an answer, and no event."""
        members = Members(web.body(), "the period")
        node_id, begin = members.id("node_id"), members.integer("from")
        end = members.integer("to", least=begin + 1)
        members.end()
        return jsonify(own.downtime.certify(node_id, begin, end).to_json())

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
        """Take an operator's signed suspicion that a node has changed."""
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
        "probes": [_probe(result) for result in record.probe_results],
        "gatherings": [_gathering(gathering) for gathering in list(record.gatherings)],
    }


def _pending(entry: Pending) -> dict[str, object]:
    return {
        "id": entry.id,
        "event": entry.event.to_json(),
        "sends": entry.sends,
        "sent_at": None if entry.sent_at is None else int(entry.sent_at),
    }


def _probe(result: ProbeResult) -> dict[str, object]:
    return {
        "node_id": result.node_id,
        "seen": str(result.status),
        "reason": result.reason,
        "latency_ms": result.latency_ms,
        "clock_offset_ms": result.offset_ms,
    }


def _gathering(gathering: AttestationRound) -> dict[str, object]:
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
        "claim": gathering.claim.to_json(),
        "needed": gathering.needed,
        "certified": gathering.certificate is not None,
        "answers": answers,
    }
