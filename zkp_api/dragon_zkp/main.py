"""Assemble and run a prover service. The clock, randomness and processes enter only here."""

from __future__ import annotations

import os
from collections.abc import Mapping

import structlog

from dragon.node.http_server import serve as serve_http
from dragon.node.service import Service
from dragon_zkp.app import create_app
from dragon_zkp.components import Components, counters
from dragon_zkp.pool import Pool
from dragon_zkp.selfcheck import SelfCheck
from dragon_zkp.settings import Settings

logger = structlog.stdlib.get_logger(__name__)


def build(settings: Settings) -> Service:
    """Assemble a prover service. Its workers start in the background."""
    pool = Pool(settings.workers, settings.max_waiting)
    self_check = SelfCheck(pool, os.urandom, settings.deadline_seconds)
    components = Components(
        pool, self_check, os.urandom, settings.deadline_seconds, settings.token, *counters()
    )
    logger.info("prover_started", port=settings.port, workers=settings.workers)
    return Service(create_app(components), [self_check.run], pool.close)


def serve(environ: Mapping[str, str]) -> None:
    """Run the service until it is told to stop (`dragon serve zkp`). Raises SettingsError."""
    settings = Settings.from_environ(environ)
    serve_http(
        lambda: build(settings),
        name="zkp_api",
        host=settings.host,
        port=settings.port,
        threads=settings.threads,
        tls=settings.tls,
    )
