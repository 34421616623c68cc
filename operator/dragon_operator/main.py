"""Where an operator is put together: clock, randomness, network and files come in here only."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from dragon.log.follower import Follower
from dragon.log.index_tables import StreamRecords
from dragon.log.ledger import Ledger
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.net.aggregator_client import AggregatorClient
from dragon.net.blob_client import ObjectClient
from dragon.net.checkpoint_sync import start_from_checkpoint
from dragon.net.runtime import Runtime
from dragon.node.server import Service
from dragon.node.server import serve as serve_with_gunicorn
from dragon.probing.prober import Prober
from dragon.protocol.committee import Committee
from dragon.storage.blobs import SCHEMA as OBJECTS
from dragon.storage.blobs import ObjectStore
from dragon.storage.database import Database
from dragon_operator import journal
from dragon_operator.app import Components, create_app
from dragon_operator.attester import Attester
from dragon_operator.concurrency_limiter import ConcurrencyLimiter
from dragon_operator.journal import Journal
from dragon_operator.log_claim_checks import LogClaimChecks
from dragon_operator.peer_monitor import PeerMonitor
from dragon_operator.rate_limiter import RateLimiter
from dragon_operator.reporter import Reporter
from dragon_operator.settings import Settings
from dragon_operator.verdict_store import VerdictStore
from dragon_operator.window_voter import AT_ONCE, AT_ONCE_EACH, WindowVoter
from dragon_sequencer.connect import connect, load_nodes
from dragon_sequencer.nodes import NodeList

logger = structlog.stdlib.get_logger(__name__)


def build(settings: Settings, nodes: NodeList) -> Service:
    """Put an operator together on the real world. Raises DragonError: a file cannot be used."""
    database, objects = open_database(settings), open_objects(settings)
    sequencer = connect(settings.committee, nodes, settings.tls.ca)
    runtime = Runtime.real(settings.tls.ca)
    own = assemble(settings, database, objects, sequencer, runtime)
    if settings.from_checkpoint:
        begin_late(own, runtime)

    def close() -> None:
        sequencer.close()
        database.close()
        objects.close()

    logger.info("operator_started", port=settings.port, size=own.log.checkpoint().size)
    loops = [own.follower.run, own.peers.run, own.voting.run]
    return Service(create_app(own), loops, close)


def begin_late(own: Components, runtime: Runtime) -> None:
    """Fill an empty log from a certified checkpoint; one that has begun goes on where it is.

    Raises Unreachable: no other operator gave one that holds.
    """
    if own.log.state.size == 0 and own.log.position.index == 0:
        start_from_checkpoint(own.log, own.committee, runtime.http, own.peers.ids)


def open_database(settings: Settings) -> Database:
    """`operator.db`: the log and the journal."""
    return Database(settings.database, LOG_SCHEMA, journal.SCHEMA)


def open_objects(settings: Settings) -> Database:
    """`operator-objects.db` beside it: what can be had again from others."""
    return Database(settings.database.with_name(f"{settings.database.stem}-objects.db"), OBJECTS)


def assemble(
    settings: Settings, database: Database, objects: Database, ledger: Ledger, runtime: Runtime
) -> Components:
    """The operator's parts around one database, one ledger and one set of runtime."""
    committee, myself, secret = settings.committee, settings.operator, settings.secret
    log = Log(database, committee)
    follower = Follower(log, ledger, monotonic=runtime.monotonic, wall=runtime.wall)
    prober = Prober(committee, runtime, myself=myself)
    peers = PeerMonitor(committee, myself, prober, runtime)
    voting = WindowVoter(
        committee,
        log,
        ObjectStore(objects, settings.objects_mb << 20),
        VerdictStore(database),
        RateLimiter(
            settings.streams,
            settings.windows_per_second,
            settings.listed_streams,
            runtime.monotonic,
        ),
        ObjectClient(_keepers(committee, myself), runtime),
        runtime.wall,
        ConcurrencyLimiter(AT_ONCE, AT_ONCE_EACH),
    )
    attester = Attester(
        committee,
        myself,
        secret,
        journal=Journal(database, committee.rounds),
        log=log,
        follower=follower,
        prober=prober,
        peers=peers,
        vouching=LogClaimChecks(committee, log, peers, runtime.wall),
        voting=voting,
        wall=runtime.wall,
    )
    reporter = Reporter(
        committee,
        myself,
        secret,
        prober=prober,
        log=log,
        aggregators=[AggregatorClient(a.url, runtime.http) for a in committee.aggregators],
        runtime=runtime,
    )
    return Components(
        committee,
        myself,
        attester,
        voting,
        reporter,
        log,
        StreamRecords(database),
        follower,
        peers,
        runtime.entropy,
    )


def _keepers(committee: Committee, myself: str) -> list[str]:
    """Who may have an object that this operator lacks: aggregators by rank, then its peers."""
    ranked = sorted(committee.aggregators, key=lambda aggregator: aggregator.rank)
    peers = [operator.url for operator in committee.operators if operator.id != myself]
    return [aggregator.url for aggregator in ranked] + peers


def serve(environ: Mapping[str, str]) -> None:
    """The entry point behind `dragon serve operator`. Raises SettingsError, KeystoreError."""
    settings = Settings.from_environ(environ)
    nodes = load_nodes(settings.nodes_file, settings.committee)
    serve_with_gunicorn(
        lambda: build(settings, nodes),
        name=settings.operator,
        host=settings.host,
        port=settings.port,
        threads=settings.threads,
        tls=settings.tls,
    )
