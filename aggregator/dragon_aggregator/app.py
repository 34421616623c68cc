"""The HTTP app of an aggregator: routes, readiness and metrics. It decides nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flask_openapi.openapi import OpenAPI
from prometheus_client.metrics_core import Metric

from dragon.node import app as web
from dragon.node import metrics
from dragon.node.admission import Clients, Exceptions
from dragon.node.metrics import StateCollector
from dragon.node.readiness import disk_reasons, log_reasons
from dragon.node.routes import beats, committee, log, nodes
from dragon.probing import clock_skew
from dragon.probing.probe_result import ProbeResult
from dragon.protocol.committee import Committee
from dragon_aggregator.components import Components
from dragon_aggregator.monitor import Monitor
from dragon_aggregator.routes import (
    downtime_certificates,
    outbox,
    period_certificates,
    rounds,
    single_signed,
    submissions,
    suspicions,
)
from dragon_sequencer import compiled as pairings


def create_app(components: Components, clients: Clients | None = None) -> OpenAPI:
    """Build the app of an aggregator. Reads no file and no environment variable."""
    app = web.create(
        "dragon_aggregator",
        lambda: _not_ready(components),
        title="DataDragon aggregator",
        collectors=[
            *components.monitor.counters,
            *components.window_queue.counters,
            components.beats.counter,
            metrics.count_applied(components.follower),
            StateCollector(lambda: _metrics(components)),
        ],
        clients=clients,
        exceptions=Exceptions(is_submission=submissions.is_submission),
        certification=components.certification,
    )
    parts = (
        *(rounds, outbox, downtime_certificates, period_certificates),
        *(suspicions, submissions, single_signed),
    )
    for module in parts:
        app.register_api(module.routes(components))
    app.register_api(beats.routes(components.beats, direct=False))
    app.register_api(log.routes(components.log))
    app.register_api(committee.routes(components.log))
    app.register_api(
        nodes.routes(components.log, lambda each: _seen(components, each), components.beats.shown)
    )
    return app


def _seen(components: Components, node_id: str) -> dict[str, object] | None:
    found = components.monitor.latest(node_id)
    return found.as_seen() if found else None


def _not_ready(components: Components) -> Iterator[str]:
    monitor, log, follower = components.monitor, components.log, components.follower
    yield from disk_reasons(components.disks)
    yield from log_reasons(log, follower, components.committee, components.wall())
    if follower.caught_up and (late := components.submitter.backlog().late):
        yield f"ledger: {late}"  # else the events may be final, and only not read yet
    if fault := components.clock.fault:
        yield f"clock: {fault}"
    if monitor.recent and monitor.recent[-1].overran:
        yield "rounds: the last round took longer than the round length"
    yield from components.certification.reasons(components.certification.rounds_fail())


def _metrics(components: Components) -> Iterator[Metric]:
    yield from metrics.log_metrics(
        components.log, components.follower, components.committee, components.wall()
    )
    yield metrics.compiled_pairings(pairings.in_use() is not None)
    probe_results = _newest_probe_results(components.monitor)
    yield metrics.node_metrics(
        {each.node_id: each.answered for each in probe_results if each.is_evidence}
    )
    yield from components.beats.metrics()
    yield metrics.quorum_margin(_quorum_margin(components.committee, probe_results))
    offsets = [result.offset_ms for result in probe_results if result.offset_ms is not None]
    yield metrics.clock_offset(clock_skew.median_ms(offsets))
    yield metrics.disk_fault(components.disks)
    pending = len(components.outbox.pending())
    yield metrics.gauge("outbox_pending", "Events that are not yet in the log.", pending)
    backlog = components.submitter.backlog()
    yield metrics.gauge(
        "outbox_oldest_seconds",
        "Seconds that the oldest event of the outbox has waited, since the start at most.",
        backlog.oldest_seconds,
    )
    yield metrics.unfinalized(backlog.unfinalized_seconds)
    windows = len(components.window_queue.pending())
    yield metrics.gauge("windows_waiting", "Submitted windows that are not in the log.", windows)
    known, new = components.window_queue.streams()
    yield metrics.gauges(
        "window_streams",
        "Streams with submitted windows: certified or listed ones (known), and others (new).",
        "streams",
        {"known": known, "new": new},
    )


def _quorum_margin(committee: Committee, probe_results: Sequence[ProbeResult]) -> int | None:
    """How many more operators than the quorum answered; None if there was no probe."""
    operators = [result for result in probe_results if result.node_id in committee.keys]
    answered = sum(result.answered for result in operators)
    return answered - committee.quorum("status") if operators else None


def _newest_probe_results(monitor: Monitor) -> list[ProbeResult]:
    """The latest probe of every node, from the last round with probes."""
    seen = next(
        (record.probe_results for record in reversed(list(monitor.recent)) if record.probe_results),
        [],
    )
    return list({result.node_id: result for result in seen}.values())
