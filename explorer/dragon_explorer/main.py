"""Assembles an explorer. Clock, randomness, network and files enter here only."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

import structlog

from dragon.log.follower import Follower
from dragon.log.index_tables import StreamRecords
from dragon.log.ledger import Ledger
from dragon.log.schema import LOG_SCHEMA
from dragon.net.committee_files import CommitteeFiles, open_log
from dragon.net.runtime import Runtime
from dragon.node.addresses import member_addresses
from dragon.node.admission import Clients
from dragon.node.certification import Certification
from dragon.node.http_server import serve as serve_http
from dragon.node.lanes import Lane
from dragon.node.service import Service
from dragon.storage.database import Database
from dragon.storage.process_lock import START_WAIT_SECONDS, ProcessLock
from dragon_explorer.alerts.alerting import Alerting, open_database
from dragon_explorer.app import create_app
from dragon_explorer.components import Components
from dragon_explorer.epochs import Epochs
from dragon_explorer.history.recorder import Recorder
from dragon_explorer.history.schema import SCHEMA
from dragon_explorer.history.store import History
from dragon_explorer.history.window_votes import VoteRecorder, WindowVotes
from dragon_explorer.index import DAY_SECONDS, LogIndex
from dragon_explorer.live.approved_files import ApprovedFiles
from dragon_explorer.live.audience import Audience
from dragon_explorer.live.board import Board, Report
from dragon_explorer.live.pollers import Pollers
from dragon_explorer.live.sources import AggregatorSource, OperatorSource, Source, StreamSource
from dragon_explorer.maintenance import Maintenance
from dragon_explorer.public_page import PublicFile, PublicPage
from dragon_explorer.rendering import Renderer
from dragon_explorer.replaceable import open_replaceable
from dragon_explorer.routes.verification import API_PATH, FORM_PATH, MAX_FORM_BYTES
from dragon_explorer.settings import Settings
from dragon_explorer.sources import Sources
from dragon_explorer.views.proposals import next_operators
from dragon_explorer.views.uptime import BAR_DAYS
from dragon_sequencer.connect import connect, load_nodes
from dragon_sequencer.nodes import NodeLists

# Verifications take long: one at a time, on a thread that no page waits for.
LANES: Final = (Lane("verify", 1, (API_PATH, FORM_PATH), MAX_FORM_BYTES),)
INDEX_SECONDS: Final = 60  # between two updates of the index without a request

logger = structlog.stdlib.get_logger(__name__)


def build(settings: Settings, nodes: NodeLists) -> Service:
    """Assemble an explorer with real clock, network and files.

    Raises DragonError: a file cannot be used.
    """
    lock = ProcessLock.on_database(settings.database, wait_seconds=START_WAIT_SECONDS)
    database, history_database = open_databases(settings)
    ledger = connect(settings.committee, nodes, settings.tls.ca)
    runtime = Runtime.real(settings.tls.ca)
    components = assemble(settings, database, history_database, ledger, runtime)
    epochs = components.sources.epochs
    settings.check_nodes(components.log.committee, {*settings.committee.urls, *epochs.nodes()})
    if settings.alerts is not None:
        components = with_alerts(components, settings, open_database(settings.database), runtime)

    # The log stays in memory. Without this, each full collection of garbage walks through it, which
    # takes 150 ms with 100,000 entries, and one request pays for it.
    gc.freeze()

    def close() -> None:
        if components.alerting is not None:
            components.alerting.database.close()
        ledger.close()
        database.close()
        history_database.close()
        lock.close()

    logger.info("explorer_started", port=settings.port)
    members = member_addresses(components.log, settings.known_clients)
    clients = Clients(members, settings.proxies)
    loops = [*background(components), clients.members.run]
    return Service(create_app(components, clients), loops, close, LANES)


def background(components: Components) -> list[Callable[[threading.Event], None]]:
    """The functions that the server runs, each on its own thread, until the event is set."""
    return [
        components.sources.follower.run,
        components.sources.log.check.run,
        components.recorder.run,
        components.sources.public_file.run,
        lambda stop: _keep_index(components, stop),
        components.pollers.run,
        *(components.alerting.loops() if components.alerting else ()),
    ]


def _keep_index(components: Components, stop: threading.Event) -> None:
    """Keep the index up to date, so that no request has to compute the days of a long log."""
    sources = components.sources
    while not stop.is_set():
        now = int(components.wall())
        sources.index.update()
        sources.maintenance.update()
        sources.epochs.update()
        for node_id in sources.committee.urls:
            sources.index.bar(node_id, now, BAR_DAYS)
        sources.index.forget_days(now - (BAR_DAYS + 1) * DAY_SECONDS)
        stop.wait(INDEX_SECONDS)


def open_databases(settings: Settings) -> tuple[Database, Database]:
    """Open `explorer.db`, the log; and `explorer-history.db` beside it."""
    path = settings.database
    return (
        Database(path, LOG_SCHEMA),
        open_replaceable(path.with_name(f"{path.stem}-history.db"), SCHEMA),
    )


def assemble(
    settings: Settings,
    database: Database,
    history_database: Database,
    ledger: Ledger,
    runtime: Runtime,
) -> Components:
    """Connect the explorer's parts to two databases, a ledger and a runtime."""
    log = open_log(database, settings.pinned, runtime)
    history = History(history_database)
    epochs = Epochs(log)
    recorder = Recorder(history, log, runtime.wall)
    board, audience = Board(), Audience(runtime.monotonic)
    approved_files = ApprovedFiles(log, runtime.http, runtime.monotonic)
    window_votes = WindowVotes(history_database)
    vote_recorder = VoteRecorder(window_votes, log)
    page = settings.public or PublicPage.of_all(settings.committee)
    sources = Sources(
        log=log,
        epochs=epochs,
        records=StreamRecords(database, log.note_damage),
        follower=Follower(
            log,
            ledger,
            monotonic=runtime.monotonic,
            files=CommitteeFiles(log, runtime).fetch,
        ),
        index=LogIndex(log),
        maintenance=Maintenance(log),
        board=board,
        approved_files=approved_files,
        history=history,
        window_votes=window_votes,
        public_file=PublicFile(page, log, settings.public_file, epochs.nodes),
    )

    def record(report: Report) -> None:
        recorder.record(report)
        vote_recorder.record(report)
        approved_files.note(report)

    return Components(
        sources=sources,
        pollers=Pollers(
            lambda: watched(settings, sources, runtime), board, record, audience.is_present
        ),
        recorder=recorder,
        renderer=Renderer(sources, runtime.wall, runtime.entropy(8)),
        wall=runtime.wall,
        certification=Certification(log, log, sources.follower, runtime),
        audience=audience,
        disks=[database.disk, history_database.disk],
    )


def with_alerts(
    components: Components, settings: Settings, database: Database, runtime: Runtime
) -> Components:
    """Add alerts to an explorer, if it has an alerts file. Raises SettingsError."""
    if settings.alerts is None:
        return components
    alerting = Alerting.assemble(
        settings.alerts, components.sources, database, runtime, disks=components.disks
    )
    return replace(components, alerting=alerting, disks=[*components.disks, database.disk])


def watched(settings: Settings, sources: Sources, runtime: Runtime) -> Iterator[Source]:
    """Yield the services to watch now.

    They are those of the committee that holds, operators of a next one that most likely follows,
    and the stream services.
    """
    committee, http, wall = sources.committee, runtime.http, runtime.wall
    for operator in {
        each.id: each for each in (*next_operators(sources, wall()), *committee.operators)
    }.values():
        yield OperatorSource(operator.id, operator.url, http, wall, lambda: sources.committee.urls)
    for aggregator in sorted(committee.aggregators, key=lambda each: each.rank):
        yield AggregatorSource(f"aggregator_{aggregator.rank}", aggregator.url, http, wall)
    for number, url in enumerate(settings.stream_urls, start=1):
        yield StreamSource(f"stream_service_{number}", url, http, wall)


def serve(environ: Mapping[str, str]) -> None:
    """Run an explorer (`dragon serve explorer`). Raises SettingsError."""
    settings = Settings.from_environ(environ)
    nodes = load_nodes(settings.nodes_files, settings.pinned)
    serve_http(
        lambda: build(settings, nodes),
        name="explorer",
        host=settings.host,
        port=settings.port,
        threads=settings.threads,
        tls=settings.tls,
    )
