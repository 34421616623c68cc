"""An operator's face: HTTP in, HTTP out, nothing decided here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, Final

from flask import Response, jsonify
from flask_openapi.openapi import OpenAPI
from prometheus_client import Counter
from prometheus_client.metrics_core import Metric
from pydantic import Field

from dragon import errors
from dragon.encoding import Json, Members, canonical, to_hex
from dragon.errors import AttestationRefused, InvalidEncoding, NotFound
from dragon.log.downtime import claim_at
from dragon.log.follower import Follower
from dragon.log.index_tables import StreamRecords
from dragon.log.store import Log
from dragon.node import app as web
from dragon.node import metrics, schemas
from dragon.node.metrics import StateCollector
from dragon.node.openapi import BODY_ERRORS, BODY_TOO_LARGE, PAGING_ERRORS, Routes, responses
from dragon.node.paging import MAX_PAGE_SIZE, IdPageQuery, PositionPageQuery, page
from dragon.node.parameters import Query, hexadecimal, identifier, integer
from dragon.node.readiness import log_reasons
from dragon.node.routes import log, streams
from dragon.probing import clock_skew
from dragon.probing.prober import NONCE_BYTES
from dragon.protocol.claims import from_json as claim_from_json
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, check_node_id
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.messages import NONCE_SIZES
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.submission import Submission
from dragon_operator.attester import Attester
from dragon_operator.peer_monitor import PeerMonitor
from dragon_operator.reporter import Reporter
from dragon_operator.verdict_store import WindowVerdict
from dragon_operator.window_voter import WindowVoter

MAX_PAGE_BYTES: Final = 512 * 1024  # canonical JSON of the entries on one page


@dataclass(frozen=True, slots=True)
class Components:
    """What an operator's app is built around."""

    committee: Committee
    myself: str
    attester: Attester
    voting: WindowVoter
    reporter: Reporter
    log: Log
    streams: StreamRecords
    follower: Follower
    peers: PeerMonitor
    entropy: Callable[[int], bytes]


class StatusQuery(Query):
    nonce: Annotated[bytes | None, hexadecimal(NONCE_SIZES)] = None


class NodesQuery(Query):
    after: Annotated[str, identifier()] = ""
    limit: Annotated[int, integer(1, MAX_PAGE_SIZE)] = MAX_PAGE_SIZE


class LogsQuery(IdPageQuery):
    node_id: Annotated[str | None, identifier()] = None


class NodePath(schemas.Schema):
    node_id: Annotated[str, identifier()]


class PeriodQuery(Query):
    begin: Annotated[int, integer(name="from"), Field(alias="from")]
    end: Annotated[int, integer(name="to"), Field(alias="to")]


class EventPath(schemas.Schema):
    position: int


class EventQuery(Query):
    size: Annotated[int | None, integer()] = None


def create_app(own: Components) -> OpenAPI:
    """Build the app around what it needs. Nothing here reads a file or the environment."""
    voted = Counter(
        "datadragon_votes",
        "Windows that were put to this operator: a verdict, or a reason of the closed list.",
        ["outcome"],
        registry=None,
    )
    attested = Counter(
        "datadragon_attestations",
        "Claims that were put to this operator: signed, or a reason of the closed list.",
        ["outcome"],
        registry=None,
    )
    app = web.create(
        "dragon_operator",
        lambda: _not_ready(own),
        title="DataDragon operator",
        collectors=[*own.peers.counters, attested, voted, StateCollector(lambda: _metrics(own))],
    )
    app.register_api(_answers(own, attested))
    app.register_api(_votes(own, voted))
    app.register_api(_record(own))
    app.register_api(log.routes(own.committee, own.log))
    app.register_api(streams.routes(own.log, own.streams))
    app.register_api(streams.objects(own.voting.objects))
    return app


def _not_ready(own: Components) -> Iterator[str]:
    yield from log_reasons(own.log, own.follower)
    if own.peers.clock_is_wrong():
        yield "clock: more than 2 s off, by the peers"
    if own.peers.is_blind(own.peers.probe_results):
        yield "blind: too few peers answer for a quorum"


def _metrics(own: Components) -> Iterator[Metric]:
    yield from metrics.log_metrics(own.log, own.follower)
    results = own.peers.probe_results
    yield metrics.node_metrics({node_id: result.answered for node_id, result in results.items()})
    yield metrics.clock_offset(clock_skew.median_ms(own.peers.offsets_ms()))
    blind = own.peers.is_blind(results)
    yield metrics.gauge("blind", "1 while too few peers answer for a quorum.", blind)


def _answers(own: Components, attested: Counter) -> Routes:
    """What an operator signs."""
    routes = Routes("answers", __name__)

    @routes.get(
        "/status",
        responses=responses(schemas.StatusAnswer, errors.UnknownMember, errors.InvalidHex),
    )
    def status(query: StatusQuery) -> Response:
        """A signed answer to the asker's nonce: whoever can give it is this operator, and up."""
        # Without a nonce the answer is signed all the same, but says nothing about when.
        nonce = own.entropy(NONCE_BYTES) if query.nonce is None else query.nonce
        answer, signature = own.attester.answer(nonce)
        return jsonify({**answer.members(), "signature": to_hex(signature)})

    @routes.post(
        "/attestations",
        request_body=routes.request_body(
            schemas.Status, schemas.Checkpoint, schemas.Downtime, schemas.Window
        ),
        responses={
            **responses(schemas.Attestation, *BODY_ERRORS, AttestationRefused),
            **BODY_TOO_LARGE,
        },
    )
    def attest() -> Response:
        """Sign a claim, if this operator has checked itself that it is true."""
        try:
            claim = claim_from_json(web.body())
            signature = own.attester.attest(claim)
        except InvalidEncoding as error:
            error.facts["reason"] = RefusalReason.MALFORMED
            attested.labels(RefusalReason.MALFORMED).inc()
            raise
        except AttestationRefused as error:
            attested.labels(error.reason).inc()
            raise
        attested.labels("signed").inc()
        return jsonify(operator=own.myself, signature=to_hex(signature))

    @routes.post(
        "/reports",
        request_body=routes.request_body(schemas.Report),
        responses={
            **responses(schemas.Reported, *BODY_ERRORS, *_REPORT, status=202),
            **BODY_TOO_LARGE,
        },
    )
    def report() -> tuple[Response, int]:
        """Take a report that a node has changed; look, and tell the aggregators if so."""
        members = Members(web.body(), "the report")
        node_id, status_ = members.id("node_id"), Status(members.word("status", Status))
        members.end()
        report_ = own.reporter.report(node_id, status_)
        body = {"suspicion": report_.suspicion.members(), "delivered": list(report_.delivered)}
        return jsonify(body), 202

    return routes


def _votes(own: Components, voted: Counter) -> Routes:
    """What an operator finds windows to be."""
    routes = Routes("votes", __name__)

    @routes.post(
        "/windows",
        request_body=routes.request_body(schemas.Submission),
        responses={
            **responses(schemas.Vote, *BODY_ERRORS, *_INVALID_STREAM, AttestationRefused),
            **BODY_TOO_LARGE,
        },
    )
    def look() -> Response:
        """Look at a window of a stream, or only note that it was announced."""
        try:
            submission = Submission.from_json(web.body())
            found = own.voting.look(submission)
        except AttestationRefused as error:
            voted.labels(error.reason).inc()
            raise
        voted.labels(str(found.verdict) if found else "announced").inc()
        return jsonify(operator=own.myself, **_vote(submission, found))

    return routes


def _vote(submission: Submission, found: WindowVerdict | None) -> dict[str, object]:
    return {
        "stream": to_hex(submission.stream),
        "number": submission.number,
        "header": to_hex(submission.header.hash),
        "verdict": str(found.verdict) if found else None,
        "reason": str(found.reason) if found else None,
        "detail": found.detail if found else "",
    }


_INVALID_STREAM: Final = (
    errors.InvalidIdentity,
    errors.InvalidHeaderKey,
    errors.UnprovenHeaderKey,
)
_REPORT: Final = (errors.UnknownNode, AttestationRefused, errors.Busy, errors.Unreachable)


def _record(own: Components) -> Routes:
    """What an operator knows: the log, for anyone to read and check."""
    routes = Routes("record", __name__)

    @routes.get("/nodes", responses=responses(schemas.Nodes, *PAGING_ERRORS, errors.InvalidId))
    def nodes(query: NodesQuery) -> Response:
        """Operators and targets of the committee by their ids, and what the log says of them."""
        behind = sorted(node_id for node_id in own.committee.urls if node_id > query.after)
        listed, following = page(behind, query.limit, str)
        return jsonify(nodes=[_node(own, node_id) for node_id in listed], next=following)

    @routes.get(
        "/nodes/<node_id>/downtime",
        responses=responses(
            schemas.DowntimeTotals, *PAGING_ERRORS, errors.MissingMember, errors.UnknownNode
        ),
    )
    def downtime(path: NodePath, query: PeriodQuery) -> Response:
        """Seconds down and unknown in [from, to), by this log as it is now; uncertified."""
        check_node_id(own.committee, path.node_id)
        if query.end <= query.begin:
            raise errors.IntegerOutOfRange("to lies behind from", member="to")
        size, interval = own.log.state.size, (query.begin, query.end)
        return jsonify(
            claim_at(own.log, own.committee, path.node_id, interval, size=size).members()
        )

    @routes.get("/logs", responses=responses(schemas.LogRows, *PAGING_ERRORS, errors.InvalidId))
    def logs(query: LogsQuery) -> Response:
        """Applied status events, oldest first."""
        found = own.log.rows(query.node_id, query.after, query.limit + 1)
        rows, following = page(found, query.limit, lambda row: row.id)
        columns = ("id", "node_id", "status", "timestamp", "signature")
        listed = [{column: getattr(row, column) for column in columns} for row in rows]
        return jsonify(logs=listed, next=following)

    @routes.get("/events", responses=responses(schemas.Entries, *PAGING_ERRORS))
    def events(query: PositionPageQuery) -> Response:
        """Entries of the log without their proofs, oldest first: to be checked against a root."""
        found = own.log.entries(query.after, query.limit + 1)
        shown = [entry.to_json() for entry in found]
        limit = min(query.limit, _fitting(shown, MAX_PAGE_BYTES))
        listed, following = page(shown, limit, lambda entry: entry["position"])
        return jsonify(events=listed, next=following)

    @routes.get(
        "/events/<int:position>",
        responses=responses(schemas.ProvenEntry, *PAGING_ERRORS, NotFound),
    )
    def event(path: EventPath, query: EventQuery) -> Response:
        """One entry with its path to the log's root: what `dragon verify event` takes."""
        if path.position >= 2**62:
            raise NotFound("no log is that long")
        whole = own.log.checkpoint().size
        size = whole if query.size is None else query.size
        if size > whole:
            message = f"size lies between 0 and {whole}"
            raise errors.IntegerOutOfRange(message, member="size")
        return jsonify(_event(own, path.position, size))

    return routes


def _node(own: Components, node_id: str) -> dict[str, object]:
    last = own.log.state.last(node_id)
    seen = own.peers.probe_results.get(node_id)
    return {
        "node_id": node_id,
        "kind": "operator" if node_id in own.committee.keys else "target",
        "status": str(last.status) if last else "unknown",
        "since": last.timestamp if last else None,
        "seen": {"status": str(seen.status), "reason": seen.reason} if seen else None,
        "signed": node_id in own.committee.keys,
    }


def _fitting(entries: list[dict[str, Json]], max_bytes: int) -> int:
    """The number of entries, from the first on, that fit into a page; at least one."""
    sizes = accumulate(len(canonical(entry)) for entry in entries)
    return max(1, sum(size <= max_bytes for size in sizes))


def _event(own: Components, position: int, size: int) -> dict[str, Json]:
    """One entry with its path to the root of a log of `size`: what `dragon verify event` takes."""
    inclusion = tuple(own.log.inclusion(position, size))
    return ProvenEntry(
        own.log.entry(position), size, own.log.checkpoint(size).root, inclusion
    ).to_json()
