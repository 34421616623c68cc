"""Assembles and starts a stream service. Only here do clock, network and files enter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import structlog

from dragon.log.follower import Follower
from dragon.log.index_tables import StreamRecords
from dragon.log.ledger import Ledger
from dragon.log.schema import LOG_SCHEMA
from dragon.net.committee_files import CommitteeFiles, open_log
from dragon.net.prover_client import ProverClient
from dragon.net.runtime import Runtime
from dragon.net.submission_client import SubmissionClient
from dragon.node import open_files
from dragon.node.addresses import is_within, member_addresses, parse_address
from dragon.node.admission import Clients
from dragon.node.certification import Certification
from dragon.node.connections import Limits
from dragon.node.gunicorn_server import serve as serve_with_gunicorn
from dragon.node.service import Service
from dragon.node.sockets import RESERVED_THREADS, Sockets
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.committee import Seated
from dragon.storage.database import Database
from dragon.storage.permissions import PRIVATE_FOLDER, make_folder
from dragon.storage.process_lock import START_WAIT_SECONDS, ProcessLock
from dragon_sequencer.connect import connect, load_nodes
from dragon_sequencer.nodes import NodeLists
from dragon_stream.app import create_app
from dragon_stream.archive.archiver import Archiver
from dragon_stream.archive.index import SCHEMA as ARCHIVE_SCHEMA
from dragon_stream.archive.index import ArchiveIndex
from dragon_stream.archive.objects import ObjectStore
from dragon_stream.archive.opening import open_store
from dragon_stream.archive.reader import ArchiveReader
from dragon_stream.archive.room import Room
from dragon_stream.archive.windows import ProvenWindows
from dragon_stream.components import Components
from dragon_stream.confirmation import Confirmation
from dragon_stream.damage import DamageReports
from dragon_stream.events import Events
from dragon_stream.kernels import Kernels
from dragon_stream.pipeline import Pipeline
from dragon_stream.provers import Provers
from dragon_stream.receipts import Receipts
from dragon_stream.settings import Settings
from dragon_stream.store import SCHEMA, Store
from dragon_stream.streams import Streams
from dragon_stream.submission import Aggregators
from dragon_stream.writer import Writer

# For which new entries of the log are gathered. Shorter than in other services, because a stream's
# users wait until its windows are certified.
GATHER_PAUSE_SECONDS: Final = 0.15

logger = structlog.stdlib.get_logger(__name__)


def build(settings: Settings, nodes: NodeLists) -> Service:
    """Assemble a service with real clock, network and files.

    Raises DragonError: a file cannot be used.
    """
    locks = [
        ProcessLock.on_folder(settings.data, wait_seconds=START_WAIT_SECONDS),
        ProcessLock.on_database(settings.database, wait_seconds=START_WAIT_SECONDS),
    ]
    database, stream_database = open_databases(settings)
    sequencer = connect(settings.committee, nodes, settings.tls.ca)
    runtime = Runtime.real(settings.tls.ca)
    components = assemble(settings, database, stream_database, sequencer, runtime)

    def close() -> None:
        sequencer.close()
        components.streams.close()
        database.close()
        stream_database.close()
        for lock in locks:
            lock.close()

    count = len(components.streams.all())
    logger.info("stream_service_started", port=settings.port, streams=count)
    clients = Clients(member_addresses(components.log, settings.known_clients), settings.proxies)
    return Service(
        create_app(components, clients), [*loops(components), clients.members.run], close
    )


def loops(components: Components) -> list[Callable[[threading.Event], None]]:
    """The functions that the server runs, each on its own thread, until the event is set."""
    return [
        components.follower.run,
        components.log.check.run,
        components.writer.run,
        partial(components.pipeline.run, components.streams),
        components.sockets.run,
        *([components.archive.run] if components.archive else []),
        Kernels(lambda: bool(components.streams.all()), lambda: components.pipeline.has_proofs).run,
    ]


def open_databases(settings: Settings) -> tuple[Database, Database]:
    """Open the log's database, and `windows.db` in the data folder: streams and windows."""
    make_folder(settings.data, PRIVATE_FOLDER)
    return Database(settings.database, LOG_SCHEMA), Database(
        settings.data / "windows.db", SCHEMA, ARCHIVE_SCHEMA
    )


def assemble(
    settings: Settings,
    database: Database,
    stream_database: Database,
    ledger: Ledger,
    runtime: Runtime,
    *,
    objects: ObjectStore | None = None,
) -> Components:
    """Connect the service's parts to two databases, a ledger and a runtime.

    `objects`: the archive, in place of the one that the settings name.
    """
    log = open_log(database, settings.pinned, runtime)
    records = StreamRecords(database, log.note_damage)
    follower = Follower(
        log,
        ledger,
        monotonic=runtime.monotonic,
        files=CommitteeFiles(log, runtime).fetch,
        gather_seconds=GATHER_PAUSE_SECONDS,
    )
    writer, events = Writer(), Events()
    damages = DamageReports(events)
    store = Store(stream_database, damages.report)
    room = Room(settings.archive.local_bytes if settings.archive else None)
    objects = objects or open_store(settings.archive)
    index = ArchiveIndex(stream_database, damages.report)
    reader = ArchiveReader(objects, index, runtime.monotonic)
    pipeline = Pipeline(
        store,
        Confirmation(store, log, follower, records, events),
        provers=provers(settings, runtime),
        aggregators=aggregators(log, runtime),
        events=events,
        runtime=runtime,
        max_pending_windows=settings.max_pending_windows,
        needed_votes=lambda: log.committee.quorum(WindowClaim.KIND),
        has_room=room.is_free,
    )
    follower.subscribe(pipeline.on_entries)
    streams = Streams(
        store,
        settings.data,
        settings.secret,
        log.committee.network_id,
        writer,
        damages=damages,
        disk=stream_database.disk,
        entropy=runtime.entropy,
        now_ms=lambda: round(1000 * runtime.wall()),
        on_full_window=pipeline.wake,
        archive=reader,
        segment_bytes=room.object_bytes,
    )
    pipeline.load(streams)
    archiver = None
    if settings.archive is not None:
        archiver = Archiver(
            objects,
            index,
            windows=store,
            proven=ProvenWindows(stream_database),
            streams=streams,
            damages=damages,
            room=room,
            url=settings.archive.url,
            runtime=runtime,
        )
    return Components(
        token=settings.token,
        streams=streams,
        store=store,
        writer=writer,
        pipeline=pipeline,
        events=events,
        sockets=Sockets(max_sockets(settings.threads), runtime.monotonic, settings.origins),
        receipts=Receipts(store, log, records, damages, reader),
        damages=damages,
        log=log,
        records=records,
        follower=follower,
        certification=Certification(log, log, follower, runtime),
        room=room,
        archive=archiver,
        wall=runtime.wall,
        disks=[database.disk, stream_database.disk],
    )


def max_sockets(threads: int) -> int:
    """How many sockets may be open with that many threads, and with the limit of open files."""
    return min(max(2, threads - RESERVED_THREADS), open_files.websockets_within(open_files.limit()))


def provers(settings: Settings, runtime: Runtime) -> Provers:
    """Clients of the provers, each with its token."""
    pairs = zip(settings.prover_urls, settings.prover_tokens, strict=True)
    clients = [ProverClient(url, token, runtime.http) for url, token in pairs]
    return Provers(clients, runtime.monotonic, settings.prover_requests)


def aggregators(seated: Seated, runtime: Runtime) -> Aggregators:
    """Clients of the aggregators of the committee that holds, the lowest rank first."""

    def clients() -> list[SubmissionClient]:
        ranked = sorted(seated.committee.aggregators, key=lambda aggregator: aggregator.rank)
        return [SubmissionClient(each.url, runtime.http) for each in ranked]

    return Aggregators(clients)


def serve(environ: Mapping[str, str]) -> None:
    """Run the service until it is stopped: the entry point of `dragon serve stream`.

    Raises SettingsError, KeystoreError.
    """
    settings = Settings.from_environ(environ)
    open_files.raise_limit()
    nodes = load_nodes(settings.nodes_files, settings.pinned)
    serve_with_gunicorn(
        lambda: build(settings, nodes),
        name=settings.name,
        host=settings.host,
        port=settings.port,
        threads=settings.threads,
        tls=settings.tls,
        limits=Limits(
            settings.threads - max_sockets(settings.threads),
            settings.connections,
            settings.connections_per_address,
            is_limited=lambda peer: not is_within(parse_address(peer), settings.proxies),
        ),
    )
