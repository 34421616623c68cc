"""The Flask app of the explorer: its routes, readiness and metrics. It decides nothing itself."""

from __future__ import annotations

from collections.abc import Iterator

from flask_openapi.openapi import OpenAPI
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from werkzeug.exceptions import NotFound

from dragon.node import app as web
from dragon.node import metrics
from dragon.node.admission import Clients
from dragon.node.metrics import StateCollector
from dragon.node.readiness import disk_reasons, log_reasons
from dragon.node.routes import log
from dragon_explorer import filters, security_headers
from dragon_explorer.certainty import clock_reasons
from dragon_explorer.components import Components
from dragon_explorer.routes import api, badges, downloads, pages, verification
from dragon_explorer.views.proposals import proposals
from dragon_sequencer import compiled as pairings


def create_app(components: Components, clients: Clients | None = None) -> OpenAPI:
    """Build the app around the explorer's components. Reads no environment variable."""
    sources = components.sources
    app = web.create(
        "dragon_explorer",
        lambda: _not_ready(components),
        title="DataDragon explorer",
        collectors=[
            metrics.count_applied(sources.follower),
            StateCollector(lambda: _metrics(components)),
        ],
        clients=clients,
        certification=components.certification,
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    filters.install(app, sources)
    security_headers.install(app)
    for module in (api, verification, downloads, badges):
        app.register_api(module.routes(components))
    app.register_api(log.routes(sources.log))
    app.register_blueprint(pages.blueprint(components))
    app.register_blueprint(verification.pages(components))
    app.register_error_handler(NotFound, pages.not_found)
    return app


def _not_ready(components: Components) -> Iterator[str]:
    sources = components.sources
    yield from disk_reasons(components.disks)
    now = components.wall()
    yield from log_reasons(sources.log, sources.follower, sources.committee, now)
    yield from clock_reasons(sources, now)
    yield from components.certification.reasons()
    if fault := sources.history.fault or sources.window_votes.fault:
        yield f"damaged: {fault}"
    if components.alerting is not None:
        yield from components.alerting.reasons()


def _metrics(components: Components) -> Iterator[Metric]:
    sources = components.sources
    wall = components.wall()
    yield from metrics.log_metrics(sources.log, sources.follower, sources.committee, wall)
    yield metrics.compiled_pairings(pairings.in_use() is not None)
    yield metrics.disk_fault(components.disks)
    yield from components.certification.metrics()
    answers = GaugeMetricFamily(
        "datadragon_explorer_service_answers",
        "1 if the watched service answered the last request of the explorer.",
        labels=["service"],
    )
    for name, report in sources.board.reports().items():
        answers.add_metric([name], not report.readiness.error)
    yield answers
    yield metrics.gauge(
        "explorer_open_incidents",
        "Nodes that are certified down.",
        len(sources.index.open_outages()),
    )
    yield from _approvals(components, wall)
    if components.alerting is not None:
        yield from components.alerting.metrics(wall)


def _approvals(components: Components, wall: float) -> Iterator[Metric]:
    """The next committee that most operators name. Uncertified."""
    named = proposals(components.sources, wall)
    yield metrics.gauge(
        "explorer_approvals",
        "Operators that say their owner has approved the next committee that most of them name.",
        named[0].approved if named else 0,
    )
    yield metrics.gauge(
        "explorer_approvals_needed",
        "Operators of the committee that holds that must sign a handover.",
        components.sources.committee.quorum("handover"),
    )
