"""Where an operator is put together: clock, randomness, network and files come in here only."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from dragon.clients.aggregator_client import AggregatorClient
from dragon.clients.bootstrap import start_from_checkpoint
from dragon.clients.edges import Edges
from dragon.clients.probe import Prober
from dragon.log.database import LOG_SCHEMA, Database
from dragon.log.follow import Follower
from dragon.log.ledger import Ledger
from dragon.log.repository import Log
from dragon.web.serve import Service
from dragon.web.serve import serve as serve_with_gunicorn
from dragon_operator import journal
from dragon_operator.app import Collaborators, create_app
from dragon_operator.attester import Attester
from dragon_operator.journal import Journal
from dragon_operator.peers import Peers
from dragon_operator.reporter import Reporter
from dragon_operator.settings import Settings
from dragon_operator.vouching import Vouching
from dragon_sequencer.nodes import NodeList
from dragon_sequencer.wiring import connect, load_nodes

logger = structlog.stdlib.get_logger(__name__)


def build(settings: Settings, nodes: NodeList) -> Service:
    """Put an operator together on the real world. Raises DragonError: a file cannot be used."""
    database = open_database(settings)
    sequencer = connect(settings.committee, nodes, settings.tls.ca)
    edges = Edges.real(settings.tls.ca)
    own = assemble(settings, database, sequencer, edges)
    if settings.from_checkpoint:
        begin_late(own, edges)

    def close() -> None:
        sequencer.close()
        database.close()

    logger.info("operator_started", port=settings.port, size=own.log.checkpoint().size)
    return Service(create_app(own), [own.follower.run, own.peers.run], close)


def begin_late(own: Collaborators, edges: Edges) -> None:
    """Fill an empty log from a certified checkpoint; one that has begun goes on where it is.

    Raises Unreachable: no other operator gave one that holds.
    """
    if own.log.state.size == 0 and own.log.position.index == 0:
        start_from_checkpoint(own.log, own.committee, edges.http, own.peers.ids)


def open_database(settings: Settings) -> Database:
    """`operator.db`: the log and the journal."""
    return Database(settings.database, LOG_SCHEMA, journal.SCHEMA)


def assemble(settings: Settings, database: Database, ledger: Ledger, edges: Edges) -> Collaborators:
    """The operator's parts around one database, one ledger and one set of edges."""
    committee, myself, secret = settings.committee, settings.operator, settings.secret
    log = Log(database, committee)
    follower = Follower(log, ledger, monotonic=edges.monotonic, wall=edges.wall)
    prober = Prober(committee, edges, myself=myself)
    peers = Peers(committee, myself, prober, edges)
    attester = Attester(
        committee,
        myself,
        secret,
        journal=Journal(database, committee.rounds),
        log=log,
        follower=follower,
        prober=prober,
        peers=peers,
        vouching=Vouching(committee, log, peers, edges.wall),
        wall=edges.wall,
    )
    reporter = Reporter(
        committee,
        myself,
        secret,
        prober=prober,
        log=log,
        aggregators=[AggregatorClient(a.url, edges.http) for a in committee.aggregators],
        edges=edges,
    )
    return Collaborators(committee, myself, attester, reporter, log, follower, peers, edges.entropy)


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
