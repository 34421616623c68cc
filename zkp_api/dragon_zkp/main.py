"""Assemble and run a prover service. The clock, randomness and processes enter only here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import structlog

from dragon.node.addresses import MemberAddresses
from dragon.node.admission import Clients
from dragon.node.http_server import serve as serve_http
from dragon.node.service import Service
from dragon_zkp.app import create_app
from dragon_zkp.components import Components, counters
from dragon_zkp.pool import Pool, verifying
from dragon_zkp.selfcheck import SelfCheck
from dragon_zkp.settings import Settings

VERIFICATION_WORKERS: Final = 1  # strangers may have proofs verified
LATER_SECONDS: Final = 3.0  # from the first worker to the others, unless a proof waits

logger = structlog.stdlib.get_logger(__name__)


def build(settings: Settings) -> Service:
    """Assemble a prover service. Its workers start in the background."""
    pool = Pool(settings.workers, settings.max_waiting, later_seconds=LATER_SECONDS)
    verifications = Pool(VERIFICATION_WORKERS, settings.max_waiting, verifying)
    self_check = SelfCheck(pool, os.urandom, settings.deadline_seconds)
    components = Components(
        pool,
        verifications,
        self_check,
        os.urandom,
        settings.deadline_seconds,
        settings.token,
        *counters(),
    )

    def close() -> None:
        pool.close()
        verifications.close()

    logger.info("prover_started", port=settings.port, workers=settings.workers)
    clients = Clients(MemberAddresses(settings.known_clients), settings.proxies)
    loops = [self_check.run, clients.members.run]
    return Service(create_app(components, clients), loops, close)


def serve(environ: Mapping[str, str]) -> None:
    """Run the service until it is told to stop (`dragon serve zkp`). Raises SettingsError."""
    settings = Settings.from_environ(environ)
    serve_http(
        lambda: build(settings),
        name=settings.name,
        host=settings.host,
        port=settings.port,
        threads=settings.threads,
        tls=settings.tls,
    )
