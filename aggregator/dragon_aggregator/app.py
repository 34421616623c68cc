"""An aggregator's face."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from flask import Response, jsonify, request
from flask_openapi3.openapi import OpenAPI
from prometheus_client.metrics_core import Metric

from dragon import bls, errors
from dragon.claim import Suspicion
from dragon.clients import clock
from dragon.clients.probe import Sight
from dragon.committee import Committee
from dragon.encoding import MAX_INTEGER, Members, to_hex
from dragon.endorsement import Endorsement
from dragon.log.apply import check_applicable
from dragon.log.follow import Follower
from dragon.log.repository import Log
from dragon.stream.chunks import MAX_CHUNKS_BYTES
from dragon.stream.judgement import MAX_PROOF_BYTES
from dragon.stream.submission import Submission
from dragon.web import app as web
from dragon.web import forms, metrics, records, streams
from dragon.web.metrics import Reading
from dragon.web.openapi import BODY, PAGE, TOO_LARGE, Routes, answers
from dragon.web.query import Query, integer
from dragon_aggregator.certify import Gathering
from dragon_aggregator.downtime import Downtime
from dragon_aggregator.outbox import Outbox, Pending, Submitter, lane
from dragon_aggregator.watch import KEPT_ROUNDS, Round, Watch
from dragon_aggregator.windows import Window, Windows

MAX_OBJECT: Final = max(MAX_CHUNKS_BYTES, MAX_PROOF_BYTES)
MOST_ENDORSEMENTS: Final = 16  # of one expert on their way


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What an aggregator's app is built around."""

    committee: Committee
    watch: Watch
    outbox: Outbox
    submitter: Submitter
    downtime: Downtime
    windows: Windows
    log: Log
    follower: Follower
    wall: Callable[[], float]


class RoundsQuery(Query):
    after: Annotated[int, integer()] = MAX_INTEGER
    limit: Annotated[int, integer(1, KEPT_ROUNDS)] = 10


class WindowsQuery(Query):
    after: Annotated[int, integer(0, 1 << 20)] = 0
    limit: Annotated[int, integer(1, web.MAX_PAGE)] = 100


class OutboxQuery(Query):
    after: Annotated[int, integer()] = 0
    limit: Annotated[int, integer(1, web.MAX_PAGE)] = 100


def create_app(own: Collaborators) -> OpenAPI:
    """Build the app around what it needs. Nothing here reads a file or the environment."""
    app = web.create(
        "dragon_aggregator",
        lambda: _not_ready(own),
        title="DataDragon aggregator",
        collectors=[*own.watch.counters, *own.windows.counters, Reading(lambda: _metrics(own))],
    )
    app.register_api(_routes(own))
    app.register_api(_of_streams(own))
    app.register_api(records.routes(own.committee, own.log))
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


def _metrics(own: Collaborators) -> Iterator[Metric]:
    yield from metrics.of_log(own.log, own.follower)
    sights = _newest_sights(own.watch)
    yield metrics.of_nodes({sight.node_id: sight.answered for sight in sights})
    offsets = [sight.offset_ms for sight in sights if sight.offset_ms is not None]
    yield metrics.clock_offset(clock.median_ms(offsets))
    waiting = len(own.outbox.pending())
    yield metrics.gauge("outbox_pending", "Events on their way to the ledger.", waiting)
    windows = len(own.windows.waiting())
    yield metrics.gauge("windows_waiting", "Windows that the log does not have yet.", windows)


def _newest_sights(watch: Watch) -> list[Sight]:
    """Of the last round that has seen something; the second look at a node where there is one."""
    seen = next((record.sights for record in reversed(list(watch.recent)) if record.sights), [])
    return list({sight.node_id: sight for sight in seen}.values())


def _routes(own: Collaborators) -> Routes:
    routes = Routes("aggregator", __name__)

    @routes.get("/rounds", responses=answers(forms.Rounds, *PAGE))
    def rounds(query: RoundsQuery) -> Response:
        """The last rounds, newest first."""
        newest_first = reversed(list(own.watch.recent))
        kept = [record for record in newest_first if record.number < query.after]
        listed = kept[: query.limit]
        more = len(kept) > query.limit
        return jsonify(
            rounds=[_round(record) for record in listed], next=listed[-1].number if more else None
        )

    @routes.get("/outbox", responses=answers(forms.Outbox, *PAGE))
    def outbox(query: OutboxQuery) -> Response:
        """Events on their way to the ledger, oldest first."""
        waiting = [entry for entry in own.outbox.pending() if entry.id > query.after]
        listed = waiting[: query.limit]
        more = len(waiting) > query.limit
        return jsonify(
            outbox=[_pending(entry) for entry in listed], next=listed[-1].id if more else None
        )

    @routes.post(
        "/downtime-certificates",
        openapi_extensions=routes.takes(forms.Period),
        responses={
            **answers(
                forms.DowntimeCertificate,
                *BODY,
                errors.UnknownNode,
                errors.NotSettled,
                errors.NotCertified,
                errors.LogStopped,
                errors.Busy,
            ),
            **TOO_LARGE,
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
        openapi_extensions=routes.takes(forms.Suspicion),
        responses={
            **answers(
                forms.Gathers,
                *BODY,
                errors.UnknownNode,
                errors.UnknownSigner,
                errors.OffRound,
                errors.BadSignature,
                errors.Busy,
                status=202,
            ),
            **TOO_LARGE,
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


def _of_streams(own: Collaborators) -> Routes:
    routes = streams.objects(own.windows.objects)  # one path has all its methods in one place

    @routes.post(
        "/windows",
        openapi_extensions=routes.takes(forms.Submission),
        responses={
            **answers(forms.Standing, *BODY, *_NOT_THE_STREAMS, errors.Busy, status=202),
            **TOO_LARGE,
        },
    )
    def submit() -> tuple[Response, int]:
        """Take a window of a stream, or its announcement; what has become of it. Ask again with
        the same."""
        return jsonify(_standing(own.windows.submit(Submission.from_json(web.body())))), 202

    @routes.get("/windows", responses=answers(forms.Standings, *PAGE))
    def windows(query: WindowsQuery) -> Response:
        """Windows that the log does not have yet, and what each operator said, by stream."""
        listed = own.windows.waiting()
        page = listed[query.after : query.after + query.limit]
        more = len(listed) > query.after + query.limit
        return jsonify(
            windows=[_standing(window) for window in page],
            next=query.after + query.limit if more else None,
        )

    @routes.put(
        "/objects/<sha256>",
        openapi_extensions=routes.takes_bytes(),
        responses={
            **answers(
                forms.Stored,
                errors.InvalidHex,
                errors.NotFound,
                errors.WrongDigest,
                errors.Busy,
                status=201,
            ),
            **TOO_LARGE,
        },
    )
    def store(path: streams.ObjectPath) -> tuple[Response, int]:
        """Take an object that a submitted window names."""
        request.max_content_length = MAX_OBJECT
        body = web.raw_body()
        own.windows.store(path.sha256, body)
        return jsonify(sha256=to_hex(path.sha256), bytes=len(body)), 201

    @routes.post(
        "/endorsements",
        openapi_extensions=routes.takes(forms.Endorsement),
        responses={
            **answers(
                forms.Accepted,
                *BODY,
                errors.WrongCommittee,
                errors.UnknownSigner,
                errors.BadSignature,
                errors.InvalidSignature,
                errors.AppliedAlready,
                errors.NoSuchWindow,
                errors.NotLater,
                errors.Stale,
                errors.Early,
                errors.LogStopped,
                status=202,
            ),
            **TOO_LARGE,
        },
    )
    def endorse() -> tuple[Response, int]:
        """Take what an expert says of windows; it goes to the ledger under the expert's key."""
        endorsement = Endorsement.from_json(web.body())
        _check_endorsement(own, endorsement)
        own.outbox.add(endorsement, not_before=0.0)
        return jsonify(accepted=True), 202

    return routes


def _check_endorsement(own: Collaborators, endorsement: Endorsement) -> None:
    """Only what the log would take now is worth a place in the outbox."""
    if alarm := own.log.alarm():
        raise errors.LogStopped(alarm.detail, reason=alarm.reason)
    endorsement.check(own.committee)
    check_applicable(own.log.state, endorsement, int(own.wall()), own.committee)
    endorsement.verify(own.committee)
    if endorsement.claim in own.outbox.claims(lane(endorsement.claim)):
        raise errors.AppliedAlready("that endorsement is on its way to the ledger")
    if len(own.outbox.claims(lane(endorsement.claim))) >= MOST_ENDORSEMENTS:
        raise errors.Busy("as many endorsements of that expert are on their way as may be")


_NOT_THE_STREAMS: Final = (
    errors.InvalidIdentity,
    errors.InvalidHeaderKey,
    errors.UnprovenHeaderKey,
    errors.WrongCommittee,
    errors.BadSignature,
    errors.LogStopped,
)


def _standing(window: Window) -> dict[str, object]:
    submission = window.submission
    return {
        "stream": to_hex(submission.stream),
        "number": submission.number,
        "header": to_hex(submission.header.hash),
        "state": window.state,
        "missing": [to_hex(sha256) for sha256 in window.missing],
        "votes": [
            {"operator": operator, "answer": answer, "detail": detail}
            for operator, (answer, detail) in sorted(window.votes.items())
        ],
    }


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
        "id": entry.id,
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
        "claim": gathering.claim.to_json(),
        "needed": gathering.needed,
        "certified": gathering.certificate is not None,
        "answers": answers,
    }
