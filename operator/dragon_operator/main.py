"""Where an operator is put together: clock, randomness, network and files come in here only."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from dragon.clients.aggregator_client import AggregatorClient
from dragon.clients.bootstrap import start_from_checkpoint
from dragon.clients.edges import Edges
from dragon.clients.object_client import ObjectClient
from dragon.clients.probe import Prober
from dragon.committee import Committee
from dragon.log.database import LOG_SCHEMA, Database
from dragon.log.follow import Follower
from dragon.log.ledger import Ledger
from dragon.log.repository import Log
from dragon.log.rows import StreamRecords
from dragon.objects.store import SCHEMA as OBJECTS
from dragon.objects.store import Objects
from dragon.web.serve import Service
from dragon.web.serve import serve as serve_with_gunicorn
from dragon_operator import journal
from dragon_operator.admission import Admission
from dragon_operator.app import Collaborators, create_app
from dragon_operator.attester import Attester
from dragon_operator.journal import Journal
from dragon_operator.peers import Peers
from dragon_operator.reporter import Reporter
from dragon_operator.settings import Settings
from dragon_operator.slots import Slots
from dragon_operator.verdicts import Verdicts
from dragon_operator.voting import AT_ONCE, AT_ONCE_EACH, Voting
from dragon_operator.vouching import Vouching
from dragon_sequencer.nodes import NodeList
from dragon_sequencer.wiring import connect, load_nodes

logger = structlog.stdlib.get_logger(__name__)


def build(settings: Settings, nodes: NodeList) -> Service:
    """Put an operator together on the real world. Raises DragonError: a file cannot be used."""
    database, objects = open_database(settings), open_objects(settings)
    sequencer = connect(settings.committee, nodes, settings.tls.ca)
    edges = Edges.real(settings.tls.ca)
    own = assemble(settings, database, objects, sequencer, edges)
    if settings.from_checkpoint:
        begin_late(own, edges)

    def close() -> None:
        sequencer.close()
        database.close()
        objects.close()

    logger.info("operator_started", port=settings.port, size=own.log.checkpoint().size)
    loops = [own.follower.run, own.peers.run, own.voting.run]
    return Service(create_app(own), loops, close)


def begin_late(own: Collaborators, edges: Edges) -> None:
    """Fill an empty log from a certified checkpoint; one that has begun goes on where it is.

    Raises Unreachable: no other operator gave one that holds.
    """
    if own.log.state.size == 0 and own.log.position.index == 0:
        start_from_checkpoint(own.log, own.committee, edges.http, own.peers.ids)


def open_database(settings: Settings) -> Database:
    """`operator.db`: the log and the journal."""
    return Database(settings.database, LOG_SCHEMA, journal.SCHEMA)


def open_objects(settings: Settings) -> Database:
    """`operator-objects.db` beside it: what can be had again from others."""
    return Database(settings.database.with_name(f"{settings.database.stem}-objects.db"), OBJECTS)


def assemble(
    settings: Settings, database: Database, objects: Database, ledger: Ledger, edges: Edges
) -> Collaborators:
    """The operator's parts around one database, one ledger and one set of edges."""
    committee, myself, secret = settings.committee, settings.operator, settings.secret
    log = Log(database, committee)
    follower = Follower(log, ledger, monotonic=edges.monotonic, wall=edges.wall)
    prober = Prober(committee, edges, myself=myself)
    peers = Peers(committee, myself, prober, edges)
    voting = Voting(
        committee,
        log,
        Objects(objects, settings.objects_mb << 20),
        Verdicts(database),
        Admission(
            settings.streams,
            settings.windows_per_second,
            settings.listed_streams,
            edges.monotonic,
        ),
        ObjectClient(_keepers(committee, myself), edges),
        edges.wall,
        Slots(AT_ONCE, AT_ONCE_EACH),
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
        vouching=Vouching(committee, log, peers, edges.wall),
        voting=voting,
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
    return Collaborators(
        committee,
        myself,
        attester,
        voting,
        reporter,
        log,
        StreamRecords(database),
        follower,
        peers,
        edges.entropy,
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
