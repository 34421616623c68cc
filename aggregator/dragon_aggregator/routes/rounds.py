"""The recent rounds: what was probed, which claims were put to the operators, their answers."""

from __future__ import annotations

from typing import Annotated

from flask import Response, jsonify

from dragon.encoding import MAX_INTEGER
from dragon.node import schemas
from dragon.node.openapi import PAGING_ERRORS, Routes, responses
from dragon.node.paging import page
from dragon.node.parameters import Query, integer
from dragon_aggregator.certifier import AttestationRound
from dragon_aggregator.components import Components
from dragon_aggregator.monitor import MAX_RECENT_ROUNDS
from dragon_aggregator.received_suspicions import Outcome, ReceivedSuspicion
from dragon_aggregator.round_record import Round


class RoundsQuery(Query):
    after: Annotated[int, integer()] = MAX_INTEGER
    limit: Annotated[int, integer(1, MAX_RECENT_ROUNDS)] = 10


def routes(components: Components) -> Routes:
    routes = Routes("rounds", __name__)

    @routes.get("/rounds", responses=responses(schemas.Rounds, *PAGING_ERRORS))
    def rounds(query: RoundsQuery) -> Response:
        """List the recent rounds, newest first."""
        newest_first = reversed(list(components.monitor.recent))
        remaining = [record for record in newest_first if record.number < query.after]
        listed, following = page(remaining, query.limit, lambda record: record.number)
        return jsonify(rounds=[_round(record) for record in listed], next=following)

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
        "probes": [result.to_json() for result in record.probe_results],
        "suspicions": [_suspicion(each, record.start) for each in record.suspicions.all()],
        "suspicions_omitted": record.suspicions.omitted,
        "gatherings": [_attestation_round(each) for each in list(record.attestation_rounds)],
    }


def _suspicion(received: ReceivedSuspicion, start: int) -> dict[str, object]:
    return {
        "operator": received.operator,
        "node_id": received.node_id,
        "status": str(received.status),
        "after_ms": round(1000 * (received.received_at - start)),
        "outcome": str(received.outcome or Outcome.ASKED),
        "detail": received.detail,
    }


def _attestation_round(attestation_round: AttestationRound) -> dict[str, object]:
    answers = [
        {
            "operator": operator,
            "answer": attestation_round.outcome_of(operator),
            "detail": answer.detail if answer else "",
            "latency_ms": answer.latency_ms if answer else None,
        }
        for operator in attestation_round.asked
        for answer in [attestation_round.answers.get(operator)]
    ]
    return {
        "claim": attestation_round.claim.to_json(),
        "needed": attestation_round.needed,
        "certified": attestation_round.certificate is not None,
        "answers": answers,
    }
