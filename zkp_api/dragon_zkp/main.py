"""Where a prover is put together: clock, randomness and processes come in here only."""

from __future__ import annotations

import os
from collections.abc import Mapping

import structlog

from dragon.node.server import Service
from dragon.node.server import serve as serve_with_gunicorn
from dragon_zkp.app import Components, counters, create_app
from dragon_zkp.pool import Pool
from dragon_zkp.selfcheck import SelfCheck
from dragon_zkp.settings import Settings

logger = structlog.stdlib.get_logger(__name__)


def build(settings: Settings) -> Service:
    """Put a prover together; its workers start in the background."""
    pool = Pool(settings.workers, settings.waiting)
    check = SelfCheck(pool, os.urandom, settings.deadline)
    own = Components(pool, check, os.urandom, settings.deadline, settings.token, *counters())
    logger.info("prover_started", port=settings.port, workers=settings.workers)
    return Service(create_app(own), [check.run], pool.close)


def serve(environ: Mapping[str, str]) -> None:
    """The entry point behind `dragon serve zkp`. Raises SettingsError."""
    settings = Settings.from_environ(environ)
    serve_with_gunicorn(
        lambda: build(settings),
        name="zkp_api",
        host=settings.host,
        port=settings.port,
        threads=settings.threads,
        tls=settings.tls,
    )
