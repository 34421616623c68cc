"""Where a stream service is put together: clock, network and files come in here only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from dragon.clients.edges import Edges
from dragon.clients.prover_client import ProverClient
from dragon.clients.submission_client import SubmissionClient
from dragon.committee import Committee
from dragon.log.database import LOG_SCHEMA, Database
from dragon.log.follow import Follower
from dragon.log.ledger import Ledger
from dragon.log.repository import Log
from dragon.log.rows import StreamRecords
from dragon.web.serve import Service
from dragon.web.serve import serve as serve_with_gunicorn
from dragon.web.websocket import Sockets
from dragon_sequencer.nodes import NodeList
from dragon_sequencer.wiring import connect, load_nodes
from dragon_stream.app import create_app
from dragon_stream.collaborators import Collaborators
from dragon_stream.events import Events
from dragon_stream.intake import Writer
from dragon_stream.pipeline import Pipeline
from dragon_stream.receipts import Receipts
from dragon_stream.settings import Settings
from dragon_stream.settlement import Settlement
from dragon_stream.store import SCHEMA, Store
from dragon_stream.streams import Streams
from dragon_stream.submitting import Aggregators
from dragon_stream.windows import warm

logger = structlog.stdlib.get_logger(__name__)


def build(settings: Settings, nodes: NodeList) -> Service:
    """Put a service together on the real world. Raises DragonError: a file cannot be used."""
    database, own_database = open_databases(settings)
    sequencer = connect(settings.committee, nodes, settings.tls.ca)
    own = assemble(settings, database, own_database, sequencer, Edges.real(settings.tls.ca))

    def close() -> None:
        sequencer.close()
        own.streams.close()
        database.close()
        own_database.close()

    logger.info("stream_service_started", port=settings.port, streams=len(own.streams.all()))
    return Service(create_app(own), loops(own), close)


def loops(own: Collaborators) -> list[Callable[[threading.Event], None]]:
    pipeline = partial(own.pipeline.run, own.streams)
    return [own.follower.run, own.writer.run, pipeline, own.sockets.run, lambda _: warm()]


def open_databases(settings: Settings) -> tuple[Database, Database]:
    """`stream.db`, the log; and `windows.db` beside the data, what is known of the own streams."""
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Database(settings.database, LOG_SCHEMA), Database(settings.data / "windows.db", SCHEMA)


def assemble(
    settings: Settings, database: Database, own_database: Database, ledger: Ledger, edges: Edges
) -> Collaborators:
    """The service's parts around two databases, one ledger and one set of edges."""
    committee = settings.committee
    log, records = Log(database, committee), StreamRecords(database)
    follower = Follower(log, ledger, monotonic=edges.monotonic, wall=edges.wall)
    store, writer, events = Store(own_database), Writer(), Events()
    pipeline = Pipeline(
        store,
        Settlement(store, log, follower, records, events),
        prover=ProverClient(settings.prover_url, settings.prover_token, edges.http),
        aggregators=aggregators(committee, edges),
        events=events,
        edges=edges,
        most_waiting=settings.waiting,
    )
    streams = Streams(
        store,
        settings.data,
        settings.secret,
        committee.id,
        writer,
        entropy=edges.entropy,
        now_ms=lambda: round(1000 * edges.wall()),
        notice=pipeline.notice,
    )
    pipeline.begin(streams)
    return Collaborators(
        committee,
        settings.token,
        streams,
        store,
        writer,
        pipeline,
        events,
        Sockets(settings.threads, edges.monotonic),
        Receipts(store, log, records),
        log,
        records,
        follower,
    )


def aggregators(committee: Committee, edges: Edges) -> Aggregators:
    ranked = sorted(committee.aggregators, key=lambda aggregator: aggregator.rank)
    return Aggregators([SubmissionClient(each.url, edges.http) for each in ranked])


def serve(environ: Mapping[str, str]) -> None:
    """The entry point behind `dragon serve stream`. Raises SettingsError, KeystoreError."""
    settings = Settings.from_environ(environ)
    nodes = load_nodes(settings.nodes_file, settings.committee)
    serve_with_gunicorn(
        lambda: build(settings, nodes),
        name="stream_api",
        host=settings.host,
        port=settings.port,
        threads=settings.threads,
        tls=settings.tls,
    )
