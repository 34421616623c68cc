"""Where an aggregator is put together: clock, randomness, network and files come in here only."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from dragon.clients.edges import Edges
from dragon.clients.probe import Prober
from dragon.log.database import LOG_SCHEMA, Database
from dragon.log.follow import Follower
from dragon.log.ledger import Ledger
from dragon.log.repository import Log
from dragon.objects.store import SCHEMA as OBJECTS
from dragon.objects.store import Objects
from dragon.web.serve import Service
from dragon.web.serve import serve as serve_with_gunicorn
from dragon_aggregator import outbox
from dragon_aggregator.app import create_app
from dragon_aggregator.certify import Certifier
from dragon_aggregator.collaborators import Collaborators
from dragon_aggregator.downtime import Downtime
from dragon_aggregator.outbox import Outbox, Sender, Submitter
from dragon_aggregator.settings import Settings
from dragon_aggregator.watch import Watch
from dragon_aggregator.windows import Windows
from dragon_sequencer.nodes import NodeList
from dragon_sequencer.wiring import connect, load_nodes

logger = structlog.stdlib.get_logger(__name__)


def build(settings: Settings, nodes: NodeList) -> Service:
    """Put an aggregator together on the real world. Raises DragonError: a file cannot be used."""
    database, objects = open_database(settings), open_objects(settings)
    ca = settings.tls.ca
    reading, writing = (connect(settings.committee, nodes, ca) for _ in range(2))
    edges = Edges.real(ca)
    own = assemble(settings, database, objects, ledger=reading, sender=writing, edges=edges)

    def close() -> None:
        reading.close()
        writing.close()
        database.close()
        objects.close()

    logger.info("aggregator_started", port=settings.port, rank=settings.rank)
    loops = [own.follower.run, own.submitter.run, own.watch.run, own.windows.run]
    return Service(create_app(own), loops, close)


def open_database(settings: Settings) -> Database:
    """`aggregator.db`: the log and the outbox."""
    return Database(settings.database, LOG_SCHEMA, outbox.SCHEMA)


def open_objects(settings: Settings) -> Database:
    """`aggregator-objects.db` beside it: what owners submit until the log has it."""
    return Database(settings.database.with_name(f"{settings.database.stem}-objects.db"), OBJECTS)


def assemble(
    settings: Settings,
    database: Database,
    objects: Database,
    *,
    ledger: Ledger,
    sender: Sender,
    edges: Edges,
) -> Collaborators:
    """The aggregator's parts around one database, one ledger and one set of edges."""
    committee = settings.committee
    log = Log(database, committee)
    follower = Follower(log, ledger, monotonic=edges.monotonic, wall=edges.wall)
    entries, certifier = Outbox(database), Certifier(committee, edges)
    watch = Watch(
        committee,
        settings.rank,
        prober=Prober(committee, edges),
        certifier=certifier,
        outbox=entries,
        log=log,
        follower=follower,
        edges=edges,
    )
    submitter = Submitter(committee, entries, log, sender, edges.wall)
    downtime = Downtime(committee, log, certifier, edges)
    windows = Windows(
        committee,
        certifier=certifier,
        outbox=entries,
        log=log,
        objects=Objects(objects, settings.objects_mb << 20),
        edges=edges,
    )
    return Collaborators(
        committee, watch, entries, submitter, downtime, windows, log, follower, edges.wall
    )


def serve(environ: Mapping[str, str]) -> None:
    """The entry point behind `dragon serve aggregator`. Raises SettingsError."""
    settings = Settings.from_environ(environ)
    nodes = load_nodes(settings.nodes_file, settings.committee)
    serve_with_gunicorn(
        lambda: build(settings, nodes),
        name="aggregator",
        host=settings.host,
        port=settings.port,
        threads=settings.threads,
        tls=settings.tls,
    )
