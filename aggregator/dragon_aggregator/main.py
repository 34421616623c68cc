"""Assembles an aggregator. Clock, randomness, network and files enter here only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from dragon.log.follower import Follower
from dragon.log.known_streams import KnownStreams
from dragon.log.ledger import Ledger
from dragon.log.schema import LOG_SCHEMA
from dragon.net.committee_files import CommitteeFiles, open_log
from dragon.net.operator_keys import OperatorKeys
from dragon.net.runtime import Runtime
from dragon.node.addresses import member_addresses
from dragon.node.admission import BEATS_PATH, Clients
from dragon.node.beat_book import BeatBook
from dragon.node.certification import Certification
from dragon.node.http_server import serve as serve_http
from dragon.node.lanes import Lane
from dragon.node.service import Service
from dragon.probing.prober import Prober
from dragon.storage.blobs import SCHEMA as OBJECTS
from dragon.storage.blobs import ObjectStore
from dragon.storage.database import Database
from dragon.storage.disk import Disk
from dragon.storage.process_lock import START_WAIT_SECONDS, ProcessLock
from dragon_aggregator import outbox
from dragon_aggregator.app import create_app
from dragon_aggregator.certifier import Certifier
from dragon_aggregator.clock_check import ClockCheck
from dragon_aggregator.components import Components
from dragon_aggregator.downtime import Downtime
from dragon_aggregator.handover_collector import HandoverCollector
from dragon_aggregator.monitor import Monitor
from dragon_aggregator.outbox import Outbox
from dragon_aggregator.periods import Periods
from dragon_aggregator.resend_schedule import ResendSchedule
from dragon_aggregator.routes.submissions import MAX_OBJECT_BYTES
from dragon_aggregator.settings import Settings
from dragon_aggregator.submitter import Sender, Submitter
from dragon_aggregator.window_queue import WindowQueue
from dragon_sequencer.connect import connect, load_nodes
from dragon_sequencer.nodes import NodeLists

# Kinds of requests that have threads of their own: operators send suspicions and beats
# of targets, and fetch objects.
LANES: Final = (
    Lane("suspicions", 4, ("/suspicions",)),
    Lane("objects", 4, ("/objects",), MAX_OBJECT_BYTES),
    Lane("beats", 4, (BEATS_PATH,)),
)

logger = structlog.stdlib.get_logger(__name__)


def build(settings: Settings, nodes: NodeLists) -> Service:
    """Assemble an aggregator on the real clock, network and files.

    Raises DragonError: a file cannot be used.
    """
    lock = ProcessLock.on_database(settings.database, wait_seconds=START_WAIT_SECONDS)
    database = open_database(settings)
    objects = open_objects(settings, database.disk)
    ca = settings.tls.ca
    reading, writing = (connect(settings.committee, nodes, ca) for _ in range(2))
    runtime = Runtime.real(ca)
    components = assemble(
        settings, database, objects, ledger=reading, sender=writing, runtime=runtime
    )

    def close() -> None:
        reading.close()
        writing.close()
        database.close()
        objects.close()
        lock.close()

    clients = Clients(member_addresses(components.log, settings.known_clients), settings.proxies)
    logger.info("aggregator_started", port=settings.port, rank=settings.rank)
    loops = [
        components.follower.run,
        components.log.check.run,
        components.submitter.run,
        components.monitor.run,
        components.window_queue.run,
        components.handovers.run,
        components.beats.run,
        clients.members.run,
    ]
    return Service(create_app(components, clients), loops, close, LANES)


def open_database(settings: Settings) -> Database:
    """Open `aggregator.db`: the log and the outbox."""
    return Database(settings.database, LOG_SCHEMA, outbox.SCHEMA)


def open_objects(settings: Settings, disk: Disk) -> Database:
    """Open `aggregator-objects.db` beside it: submitted objects, until the log has the window."""
    path = settings.database.with_name(f"{settings.database.stem}-objects.db")
    return Database(path, OBJECTS, disk=disk)


def assemble(
    settings: Settings,
    database: Database,
    objects: Database,
    *,
    ledger: Ledger,
    sender: Sender,
    runtime: Runtime,
) -> Components:
    """Build the components of an aggregator on a database, a ledger and a runtime."""
    log = open_log(database, settings.pinned, runtime)
    follower = Follower(
        log,
        ledger,
        monotonic=runtime.monotonic,
        files=CommitteeFiles(log, runtime).fetch,
    )
    entries, certifier = Outbox(database), Certifier(log, runtime)
    clock = ClockCheck(log)
    handovers = HandoverCollector(log, follower, entries, runtime, rank=settings.rank)
    operator_keys = OperatorKeys(log, runtime.wall, lambda: handovers.following)
    beats = BeatBook(log, runtime.wall, runtime.monotonic, processor=runtime.processor)
    monitor = Monitor(
        log,
        settings.rank,
        prober=Prober(log, runtime, keys_of=operator_keys.of, last_beat=beats.newest),
        certifier=certifier,
        outbox=entries,
        log=log,
        follower=follower,
        clock=clock,
        keys_of=operator_keys.of,
        runtime=runtime,
    )
    schedule = ResendSchedule(
        monotonic=runtime.monotonic,
        wall=runtime.wall,
        longest_wait=lambda: settings.rank * log.committee.rounds.seconds,
    )
    submitter = Submitter(
        log,
        entries,
        log,
        sender,
        schedule=schedule,
        is_caught_up=lambda: follower.caught_up,
    )
    downtime = Downtime(log, log, certifier, runtime)
    periods = Periods(log, log, certifier, runtime)
    known_streams = KnownStreams(log, settings.listed_streams)
    window_queue = WindowQueue(
        log,
        certifier=certifier,
        outbox=entries,
        log=log,
        objects=ObjectStore(objects, settings.objects_mb << 20, known_streams.is_known),
        clock=clock,
        known_streams=known_streams,
        runtime=runtime,
    )
    return Components(
        clock=clock,
        monitor=monitor,
        outbox=entries,
        submitter=submitter,
        downtime=downtime,
        periods=periods,
        window_queue=window_queue,
        handovers=handovers,
        beats=beats,
        log=log,
        follower=follower,
        certification=Certification(log, log, follower, runtime, monitor.last_quorum),
        wall=runtime.wall,
        disks=[database.disk],
    )


def serve(environ: Mapping[str, str]) -> None:
    """Run an aggregator (`dragon serve aggregator`). Raises SettingsError."""
    settings = Settings.from_environ(environ)
    nodes = load_nodes(settings.nodes_files, settings.pinned)
    serve_http(
        lambda: build(settings, nodes),
        name="aggregator",
        host=settings.host,
        port=settings.port,
        threads=settings.threads,
        tls=settings.tls,
    )
