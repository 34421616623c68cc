"""The stream service's face: HTTP and WebSockets in, nothing decided here."""

from __future__ import annotations

from collections.abc import Iterator

from flask_openapi.openapi import OpenAPI
from prometheus_client.metrics_core import Metric

from dragon.node import app as web
from dragon.node import metrics
from dragon.node.metrics import StateCollector
from dragon.node.readiness import log_reasons
from dragon.node.routes import log
from dragon_stream.components import Components
from dragon_stream.routes.chunks import reading
from dragon_stream.routes.sockets import add_sockets
from dragon_stream.routes.streams import making


def create_app(own: Components) -> OpenAPI:
    """Build the app around what it needs. Nothing here reads a file or the environment."""
    app = web.create(
        "dragon_stream",
        lambda: _not_ready(own),
        title="DataDragon stream service",
        collectors=[own.pipeline.counter, StateCollector(lambda: _metrics(own))],
    )
    app.register_api(making(own))
    app.register_api(reading(own))
    app.register_api(log.routes(own.committee, own.log))
    add_sockets(app, own.sockets, own.streams, own.pipeline, own.events)
    return app


def _not_ready(own: Components) -> Iterator[str]:
    yield from log_reasons(own.log, own.follower)
    if own.pipeline.prover_trouble:
        yield f"prover: {own.pipeline.prover_trouble}"
    if own.pipeline.aggregator_trouble:
        yield f"aggregator: {own.pipeline.aggregator_trouble}"
    for stream in own.streams.all():
        if stream.intake.trouble:
            yield f"stream: {stream.row.name}: {stream.intake.trouble}"


def _metrics(own: Components) -> Iterator[Metric]:
    yield from metrics.log_metrics(own.log, own.follower)
    streams = own.streams.all()
    waiting = sum(own.pipeline.waiting(stream.id) for stream in streams)
    yield metrics.gauge(
        "stream_windows_waiting", "WindowSealer that the log does not have.", waiting
    )
    chunks = sum(stream.intake.sequence for stream in streams)
    yield metrics.gauge("stream_chunks", "Chunks that were accepted.", chunks)
    size = sum(stream.intake.total for stream in streams)
    yield metrics.gauge("stream_bytes", "Bytes that were accepted.", size)
    yield metrics.gauge("stream_sockets", "Open WebSockets.", len(own.sockets))
