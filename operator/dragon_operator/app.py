"""The HTTP app of an operator: routes, readiness and metrics. It decides nothing itself."""

from __future__ import annotations

from collections.abc import Iterator

from flask_openapi.openapi import OpenAPI
from prometheus_client import Counter
from prometheus_client.metrics_core import Metric

from dragon.node import app as web
from dragon.node import metrics
from dragon.node.admission import Clients
from dragon.node.metrics import StateCollector
from dragon.node.readiness import disk_reasons, log_reasons
from dragon.node.routes import beats, committee, log, streams
from dragon.probing import clock_skew
from dragon.protocol.claims.status import Status
from dragon_operator.components import Components
from dragon_operator.evidence_recorder import EvidenceRecorder
from dragon_operator.routes import attestations, events, evidence, nodes, probes, windows
from dragon_operator.window_voter import WindowVoter
from dragon_sequencer import compiled as pairings


def create_app(components: Components, clients: Clients | None = None) -> OpenAPI:
    """Build the app of an operator. Reads no file and no environment variable."""
    votes = Counter(
        "datadragon_votes",
        "Windows submitted to this operator, by verdict or refusal reason.",
        ["outcome"],
        registry=None,
    )
    attested = Counter(
        "datadragon_attestations",
        "Claims submitted to this operator: signed, or the refusal reason.",
        ["outcome"],
        registry=None,
    )
    app = web.create(
        "dragon_operator",
        lambda: _not_ready(components),
        title="DataDragon operator",
        collectors=[
            *components.peers.counters,
            attested,
            votes,
            components.beats.counter,
            components.beat_relay.counter,
            components.window_voter.verifications.seconds,
            metrics.count_applied(components.follower),
            StateCollector(lambda: _metrics(components)),
        ],
        clients=clients,
        certification=components.certification,
    )
    app.register_api(attestations.routes(components, attested))
    app.register_api(windows.routes(components, votes, attested))
    app.register_api(nodes.routes(components))
    app.register_api(probes.routes(components))
    app.register_api(beats.routes(components.beats, direct=True))
    app.register_api(events.routes(components))
    app.register_api(evidence.routes(components))
    app.register_api(log.routes(components.log))
    app.register_api(committee.routes(components.log, components.approved))
    app.register_api(streams.routes(components.log, components.streams))
    app.register_api(streams.objects(components.window_voter.objects, components.log))
    return app


def _not_ready(components: Components) -> Iterator[str]:
    peers = components.peers
    yield from disk_reasons(components.disks)
    yield from log_reasons(
        components.log, components.follower, components.committee, components.wall()
    )
    if fault := components.attester.log_fault():
        yield f"log: {fault}"
    if peers.clock_is_wrong():
        yield "clock: more than 2 s off according to the peers"
    elif not peers.clock_is_confirmed():
        yield f"clock: not confirmed by {peers.confirmations_needed} peers yet"
    if (ahead := components.attester.seconds_ahead()) > 0:
        yield (
            f"journal: a round that begins in {ahead} s is signed already; the clock was ahead "
            "then, or is behind now"
        )
    if why := components.attester.why_abstain():
        yield f"journal: {why}"
    if not components.is_seated:
        yield f"seat: not in the committee of epoch {components.committee.epoch}"
    if why := components.key_check.why_wait():
        yield f"key: {why}"
    yield from _unreachable(components)
    if peers.is_blind(peers.probe_results):
        yield "blind: too few peers answer for a quorum"
    certification = components.certification
    # Nobody asks an operator without a seat for signatures.
    heard = certification.no_round_heard() if components.is_seated else ""
    yield from certification.reasons(heard)


def _unreachable(components: Components) -> Iterator[str]:
    """Why the committee counts this operator as down while it runs."""
    state = components.log.state
    last, url = state.last(components.myself), state.committee.urls.get(components.myself)
    if last is None or last.status is not Status.DOWN or url is None:
        return
    if components.follower.caught_up:
        yield (
            f"unreachable: certified down since {last.timestamp}; the other operators do not reach "
            f"it at {url}"
        )


def _metrics(components: Components) -> Iterator[Metric]:
    yield from metrics.log_metrics(
        components.log, components.follower, components.committee, components.wall()
    )
    yield metrics.compiled_pairings(pairings.in_use() is not None)
    probe_results = components.peers.probe_results
    looks = components.target_looks.latest()
    yield metrics.node_metrics(
        {node_id: each.answered for node_id, each in {**looks, **probe_results}.items()}
    )
    yield from metrics.certificate_metrics(
        {
            node_id: each.certificate_expires - components.wall()
            for node_id, each in looks.items()
            if each.certificate_expires is not None
        },
        components.target_looks.warn_seconds(),
    )
    yield from components.beats.metrics()
    yield metrics.clock_offset(clock_skew.median_ms(components.peers.offsets_ms()))
    confirmed = components.peers.clock_is_confirmed()
    yield metrics.gauge("clock_confirmed", "1 if f + 1 peers have confirmed the clock.", confirmed)
    yield from _journal_metrics(components)
    yield metrics.gauge(
        "seated", "1 if the committee that holds lists this operator.", components.is_seated
    )
    yield metrics.gauge(
        "approved",
        "1 while the owner's approval of a next committee counts.",
        components.approved()[components.myself] is not None,
    )
    yield metrics.disk_fault(components.disks)
    yield from _evidence_metrics(components.evidence)
    yield from _verification_metrics(components.window_voter)
    yield metrics.quorum_margin(components.peers.quorum_margin())
    blind = components.peers.is_blind(probe_results)
    yield metrics.gauge("blind", "1 while too few peers answer for a quorum.", blind)


def _journal_metrics(components: Components) -> Iterator[Metric]:
    yield metrics.gauge(
        "journal_ahead_seconds",
        "Seconds until the newest signed round begins, if it lies in the future.",
        components.attester.seconds_ahead(),
    )
    yield metrics.gauge(
        "journal_incomplete",
        "1 while nothing is signed because the journal lacks a signature that is in the log.",
        components.gaps.seconds_left() > 0,
    )


def _verification_metrics(voter: WindowVoter) -> Iterator[Metric]:
    verifications = voter.verifications
    yield metrics.counters(
        "verification_seconds",
        "Processor seconds for windows of certified and listed (known) and of other streams (new).",
        "streams",
        {"known": verifications.known_seconds, "new": verifications.new_seconds},
    )
    verifier = voter.verifier
    yield metrics.counters(
        "windows_verified",
        "Windows that were verified since the start, by verifier: compiled code, or plain Python.",
        "verifier",
        verifier.judged,
    )
    yield metrics.gauge(
        "verifiers",
        "Processes that are ready to verify windows; 0 if the operator verifies in its own.",
        verifier.started_workers,
    )
    yield metrics.gauge(
        "verifiers_replaced",
        "Processes for windows that were replaced because they ended or did not answer in time.",
        verifier.replaced_workers,
    )


def _evidence_metrics(evidence: EvidenceRecorder) -> Iterator[Metric]:
    yield metrics.counters(
        "evidence_records",
        "Signed records of looks and answers since the start: stored, or lost before that.",
        "result",
        {"stored": evidence.stored, "lost": evidence.lost},
    )
    yield metrics.gauge(
        "evidence_fault",
        "1 while records of looks and answers cannot be stored: full disk or damaged file.",
        bool(evidence.fault),
    )
