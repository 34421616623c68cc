"""The prover service's HTTP app: health, readiness, metrics and the routes of `routes/`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flask_openapi.openapi import OpenAPI
from prometheus_client.metrics_core import Metric

from dragon.node import app as web
from dragon.node import auth, metrics
from dragon.node.admission import Clients, Exceptions
from dragon.node.metrics import StateCollector
from dragon_zkp.components import Components
from dragon_zkp.routes import parameter_sets, proofs

MAX_BODY_BYTES: Final = 1 << 20


def create_app(components: Components, clients: Clients | None = None) -> OpenAPI:
    """Build the app. Nothing here reads a file or the environment."""
    app = web.create(
        "dragon_zkp",
        lambda: _not_ready(components),
        title="DataDragon prover",
        collectors=[
            components.jobs,
            components.job_seconds,
            StateCollector(lambda: _metrics(components)),
        ],
        max_body=MAX_BODY_BYTES,
        unhealthy=lambda: _unhealthy(components),
        tokens=True,
        clients=clients,
        exceptions=Exceptions(
            is_owner=lambda environ: auth.has_token(environ, auth.is_same(components.token))
        ),
    )
    app.register_api(proofs.routes(components))
    app.register_api(parameter_sets.routes())
    return app


def _unhealthy(components: Components) -> Iterator[str]:
    if components.self_check.last_error:
        yield components.self_check.last_error


def _not_ready(components: Components) -> Iterator[str]:
    for pool in (components.pool, components.verifications):
        if pool.startup_status:
            yield pool.startup_status
    yield from _unhealthy(components)


def _metrics(components: Components) -> Iterator[Metric]:
    pool = components.pool
    yield metrics.gauge(
        "zkp_workers_at_work",
        "Workers for proofs that are busy or still starting.",
        pool.busy_workers,
    )
    yield metrics.gauges(
        "zkp_jobs_waiting",
        "Jobs that wait for a worker, by kind of job.",
        "kind",
        {"prove": pool.waiting_jobs, "verify": components.verifications.waiting_jobs},
    )
    yield metrics.gauge(
        "zkp_workers_replaced",
        "Workers replaced because they died, did not stop or sent an invalid answer.",
        pool.replaced_workers + components.verifications.replaced_workers,
    )
    yield metrics.gauge(
        "zkp_self_checks",
        "Self-checks that have passed since the service started.",
        components.self_check.passed,
    )
