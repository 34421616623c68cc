"""Where a stream service is put together: clock, network and files come in here only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from dragon.log.follower import Follower
from dragon.log.index_tables import StreamRecords
from dragon.log.ledger import Ledger
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.net.prover_client import ProverClient
from dragon.net.runtime import Runtime
from dragon.net.submission_client import SubmissionClient
from dragon.node.server import Service
from dragon.node.server import serve as serve_with_gunicorn
from dragon.node.websocket import Sockets
from dragon.protocol.committee import Committee
from dragon.storage.database import Database
from dragon_sequencer.connect import connect, load_nodes
from dragon_sequencer.nodes import NodeList
from dragon_stream.app import create_app
from dragon_stream.chunker import Writer
from dragon_stream.components import Components
from dragon_stream.confirmation import Settlement
from dragon_stream.events import Events
from dragon_stream.pipeline import Pipeline
from dragon_stream.receipts import Receipts
from dragon_stream.settings import Settings
from dragon_stream.store import SCHEMA, Store
from dragon_stream.streams import Streams
from dragon_stream.submission import Aggregators
from dragon_stream.window_sealer import warm

logger = structlog.stdlib.get_logger(__name__)


def build(settings: Settings, nodes: NodeList) -> Service:
    """Put a service together on the real world. Raises DragonError: a file cannot be used."""
    database, own_database = open_databases(settings)
    sequencer = connect(settings.committee, nodes, settings.tls.ca)
    own = assemble(settings, database, own_database, sequencer, Runtime.real(settings.tls.ca))

    def close() -> None:
        sequencer.close()
        own.streams.close()
        database.close()
        own_database.close()

    logger.info("stream_service_started", port=settings.port, streams=len(own.streams.all()))
    return Service(create_app(own), loops(own), close)


def loops(own: Components) -> list[Callable[[threading.Event], None]]:
    pipeline = partial(own.pipeline.run, own.streams)
    return [own.follower.run, own.writer.run, pipeline, own.sockets.run, lambda _: warm()]


def open_databases(settings: Settings) -> tuple[Database, Database]:
    """`stream.db`, the log; and `windows.db` beside the data, what is known of the own streams."""
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Database(settings.database, LOG_SCHEMA), Database(settings.data / "windows.db", SCHEMA)


def assemble(
    settings: Settings, database: Database, own_database: Database, ledger: Ledger, runtime: Runtime
) -> Components:
    """The service's parts around two databases, one ledger and one set of runtime."""
    committee = settings.committee
    log, records = Log(database, committee), StreamRecords(database)
    follower = Follower(log, ledger, monotonic=runtime.monotonic, wall=runtime.wall)
    store, writer, events = Store(own_database), Writer(), Events()
    pipeline = Pipeline(
        store,
        Settlement(store, log, follower, records, events),
        prover=ProverClient(settings.prover_url, settings.prover_token, runtime.http),
        aggregators=aggregators(committee, runtime),
        events=events,
        runtime=runtime,
        most_waiting=settings.waiting,
    )
    streams = Streams(
        store,
        settings.data,
        settings.secret,
        committee.id,
        writer,
        entropy=runtime.entropy,
        now_ms=lambda: round(1000 * runtime.wall()),
        notice=pipeline.notice,
    )
    pipeline.begin(streams)
    return Components(
        committee,
        settings.token,
        streams,
        store,
        writer,
        pipeline,
        events,
        Sockets(settings.threads, runtime.monotonic),
        Receipts(store, log, records),
        log,
        records,
        follower,
    )


def aggregators(committee: Committee, runtime: Runtime) -> Aggregators:
    ranked = sorted(committee.aggregators, key=lambda aggregator: aggregator.rank)
    return Aggregators([SubmissionClient(each.url, runtime.http) for each in ranked])


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
