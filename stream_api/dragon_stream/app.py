"""The Flask app of the stream service: its routes, readiness and metrics."""

from __future__ import annotations

from collections.abc import Iterator

from flask_openapi.openapi import OpenAPI
from prometheus_client.metrics_core import Metric

from dragon.node import app as web
from dragon.node import metrics
from dragon.node.admission import Clients, Exceptions
from dragon.node.metrics import StateCollector
from dragon.node.readiness import disk_reasons, log_reasons
from dragon.node.routes import committee, log, nodes
from dragon_sequencer import compiled as pairings
from dragon_stream.archive.archiver import Archiver
from dragon_stream.archive.objects import State
from dragon_stream.archive.room import FULL
from dragon_stream.components import Components
from dragon_stream.damage import NO_STREAM
from dragon_stream.provers import Provers
from dragon_stream.routes import archive, chunks, paths, sockets, streams, windows
from dragon_stream.submission import UNREADY_AFTER_SECONDS


def create_app(components: Components, clients: Clients | None = None) -> OpenAPI:
    """Build the app around the service's components. Reads no file and no environment variable."""
    app = web.create(
        "dragon_stream",
        lambda: _not_ready(components),
        title="DataDragon stream service",
        collectors=[
            components.pipeline.counter,
            components.pipeline.prove_seconds,
            components.pipeline.provers.counter,
            metrics.count_applied(components.follower),
            *([components.archive.failures] if components.archive else []),
            StateCollector(lambda: _metrics(components)),
        ],
        tokens=True,
        clients=clients,
        exceptions=Exceptions(
            is_owner=lambda environ: paths.is_owner(components, environ),
            is_socket=paths.is_socket,
        ),
        certification=components.certification,
        degraded=lambda: _degraded(components),
    )
    app.register_api(streams.routes(components))
    app.register_api(windows.routes(components))
    app.register_api(chunks.routes(components))
    app.register_api(archive.routes(components))
    app.register_api(log.routes(components.log))
    app.register_api(committee.routes(components.log))
    app.register_api(nodes.routes(components.log))
    sockets.install(app, components)
    return app


def _degraded(components: Components) -> Iterator[str]:
    """The provers that fail while others work, and the archive, while data waits on the disk."""
    provers = components.pipeline.provers
    if provers.has_working:
        yield from _prover_faults(provers)
    if components.archive is not None and components.archive.last_error:
        yield f"archive: {components.archive.last_error}"


def _prover_faults(provers: Provers) -> Iterator[str]:
    for name, fault in provers.faults.items():
        yield f"prover: {name}: {fault}"


def _not_ready(components: Components) -> Iterator[str]:
    pipeline = components.pipeline
    yield from disk_reasons(components.disks)
    yield from log_reasons(
        components.log, components.follower, components.committee, components.wall()
    )
    if components.follower.caught_up and (late := pipeline.submitter.awaited.late):
        yield f"ledger: {late}"  # else the windows may be in the log, and only not read yet
    if not components.room.is_free():
        why = f": {said}" if components.archive and (said := components.archive.last_error) else ""
        yield f"archive: {FULL}; sources wait{why}"
    if not pipeline.provers.has_working:
        yield from _prover_faults(pipeline.provers)
    if pipeline.submitter.last_error:
        yield f"aggregator: {pipeline.submitter.last_error}"
    for stream in components.streams.all():
        if reason := pipeline.submitter.busy.reason(stream.id, UNREADY_AFTER_SECONDS):
            yield f"busy: {stream.row.name}: {reason}"
        if stream.chunker.last_error and not stream.chunker.is_damaged:
            yield f"stream: {stream.row.name}: {stream.chunker.last_error}"
        for damage in components.damages.of(stream.id):
            yield f"damaged: {stream.row.name}: {damage}"
    for name in components.streams.unusable:
        yield f"damaged: {name}: its row in windows.db does not have its checksum"
    yield from components.certification.reasons()
    for damage in components.damages.of(NO_STREAM):
        yield f"damaged: {damage}"


def _metrics(components: Components) -> Iterator[Metric]:
    yield from metrics.log_metrics(
        components.log, components.follower, components.committee, components.wall()
    )
    yield metrics.unfinalized(components.pipeline.submitter.awaited.seconds)
    yield metrics.compiled_pairings(pairings.in_use() is not None)
    yield metrics.disk_fault(components.disks)
    yield from components.pipeline.provers.metrics()
    streams = components.streams.all()
    unfinished = sum(components.pipeline.unfinished(stream.id) for stream in streams)
    yield metrics.gauge(
        "stream_windows_waiting", "Closed windows that are not certified yet.", unfinished
    )
    accepted = sum(stream.chunker.sequence for stream in streams)
    yield metrics.gauge("stream_chunks", "Accepted chunks, of all streams.", accepted)
    # Bytes of streams with readings are their owners' secret, also as part of a sum.
    size = sum(stream.chunker.total for stream in streams if not stream.row.hides_sizes)
    yield metrics.gauge("stream_bytes", "Accepted bytes, of all streams without readings.", size)
    yield metrics.gauge("stream_sockets", "Open WebSockets.", len(components.sockets))
    if components.archive is not None:
        yield from _archive_metrics(components, components.archive)
    damaged = components.damages.count
    yield metrics.gauge(
        "stream_damages", "Damaged places on disk that were found since the start.", damaged
    )


def _archive_metrics(components: Components, archiver: Archiver) -> Iterator[Metric]:
    """Bytes of streams with readings are left out, as everywhere."""
    shown = {each.id for each in components.streams.all() if not each.row.hides_sizes}
    stored = [each for each in archiver.totals() if each.state is State.STORED]
    yield metrics.gauge(
        "stream_archived_bytes",
        "Bytes in the archive, of all streams without readings.",
        sum(each.size for each in stored if each.stream in shown),
    )
    yield metrics.gauge(
        "stream_archive_pending_bytes",
        "Certified bytes that wait for the archive, of all streams without readings.",
        sum(size for stream, size in archiver.pending.items() if stream in shown),
    )
    yield metrics.gauge(
        "stream_archive_failing",
        "1 if the last attempt to use the archive failed.",
        bool(archiver.last_error),
    )
    yield metrics.gauge(
        "stream_local_full",
        "1 while sources wait, because the disk holds as much as STREAM_LOCAL_MB allows.",
        not components.room.is_free(),
    )
