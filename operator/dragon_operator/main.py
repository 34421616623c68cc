"""Assembles an operator. Clock, randomness, network and files enter here only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from dragon.log.follower import Follower
from dragon.log.index_tables import StreamRecords
from dragon.log.known_streams import KnownStreams
from dragon.log.ledger import ProvingLedger
from dragon.log.store import Log
from dragon.net.blob_client import ObjectClient
from dragon.net.checkpoint_sync import start_from_checkpoint
from dragon.net.committee_files import CommitteeFiles, open_log
from dragon.net.operator_keys import OperatorKeys
from dragon.net.runtime import Runtime
from dragon.node.addresses import member_addresses
from dragon.node.admission import BEATS_PATH, Clients
from dragon.node.beat_book import BeatBook
from dragon.node.certification import Certification
from dragon.node.http_server import serve as serve_http
from dragon.node.lanes import Lane
from dragon.node.refutation_limit import OPERATOR_RATE, RefutationLimit
from dragon.node.service import Service
from dragon.probing.probe_history import ProbeHistory
from dragon.probing.probe_result import ProbeResult
from dragon.probing.prober import Prober
from dragon.protocol.committee import Committee
from dragon.storage.blobs import ObjectStore
from dragon.storage.process_lock import START_WAIT_SECONDS, ProcessLock
from dragon_operator.app import create_app
from dragon_operator.approvals import Approvals, approval_path
from dragon_operator.attester import Attester
from dragon_operator.beat_relay import BeatRelay
from dragon_operator.compiled_verification import VerificationStart
from dragon_operator.components import Components
from dragon_operator.databases import Databases
from dragon_operator.evidence_recorder import EvidenceRecorder
from dragon_operator.evidence_store import EvidenceStore
from dragon_operator.handover_checks import HandoverChecks
from dragon_operator.heard_rounds import HeardRounds
from dragon_operator.journal import Journal
from dragon_operator.journal_gaps import JournalGaps
from dragon_operator.key_check import KeyCheck
from dragon_operator.log_claim_checks import LogClaimChecks
from dragon_operator.peer_monitor import PeerMonitor
from dragon_operator.peer_reports import PeerReports
from dragon_operator.rate_limiter import RateLimiter
from dragon_operator.reporter import Reporter
from dragon_operator.seat import SeatReport
from dragon_operator.settings import Settings
from dragon_operator.status_checks import StatusChecks
from dragon_operator.target_looks import TargetLooks
from dragon_operator.verdict_store import VerdictStore
from dragon_operator.verification_scheduler import VerificationScheduler
from dragon_operator.window_verifier import WindowVerifier
from dragon_operator.window_voter import FetchLimits, WindowVoter
from dragon_sequencer.connect import connect, load_nodes
from dragon_sequencer.nodes import NodeLists

PROBE_THREADS: Final = 3  # answer only `/status`
READ_THREADS: Final = 4  # answer whatever has no lane
VOTE_THREADS: Final = 32  # wait for objects of windows, or for one of the few verifications
REPORT_THREADS: Final = 8  # probe a node that is reported to have changed
BEAT_THREADS: Final = 4  # verify beats of targets

logger = structlog.stdlib.get_logger(__name__)


def build(settings: Settings, nodes: NodeLists) -> Service:
    """Assemble an operator on the real clock, network and files.

    Raises DragonError: a file cannot be used.
    """
    runtime = Runtime.real(settings.tls.ca)
    lock = ProcessLock.on_database(settings.database, wait_seconds=START_WAIT_SECONDS)
    databases = Databases.open(settings, runtime)
    sequencer = connect(settings.committee, nodes, settings.tls.ca)
    components = assemble(settings, databases, sequencer, runtime)
    if settings.from_checkpoint:
        start_late(components, settings.committee, runtime)

    verifier = components.window_voter.verifier

    def close() -> None:
        verifier.close()
        sequencer.close()
        databases.close()
        lock.close()

    members = member_addresses(components.log, settings.known_clients, without=settings.operator)
    clients = Clients(members, settings.proxies)
    logger.info("operator_started", port=settings.port, size=components.log.head().size)
    loops = [
        components.key_check.run,
        components.follower.run,
        components.log.check.run,
        components.peers.run,
        components.peer_reports.run,
        components.target_looks.run,
        components.window_voter.run,
        components.evidence.run,
        components.beats.run,
        clients.members.run,
        VerificationStart(lambda: bool(components.log.state.streams), verifier.start).run,
    ]
    return Service(create_app(components, clients), loops, close, lanes(settings.threads))


def lanes(threads: int) -> list[Lane]:
    """The kinds of requests that have threads of their own.

    Attestations wait for probes of the node, and votes for objects of the window. All other
    requests are reads, which anyone may send; `READ_THREADS` of them keep the processor busy.
    """
    return [
        Lane("probe", PROBE_THREADS, ("/status",)),
        Lane("attestations", threads, ("/attestations",)),
        Lane("windows", VOTE_THREADS, ("/windows",)),
        Lane("reports", REPORT_THREADS, ("/reports",)),
        Lane("beats", BEAT_THREADS, (BEATS_PATH,)),
    ]


def start_late(components: Components, committee: Committee, runtime: Runtime) -> None:
    """Fill an empty log from a certified checkpoint. A log that is not empty stays unchanged.

    Args:
        committee: the newest committee that the owner has given, which must have certified it.

    Raises Unreachable: no other operator returned a checkpoint that passes verification.
    """
    log = components.log
    if log.state.size == 0 and log.position.index == 0:
        start_from_checkpoint(
            log,
            committee,
            runtime.http,
            [each for each in committee.keys if each != components.myself],
            monotonic=runtime.monotonic,
        )


def assemble(
    settings: Settings,
    databases: Databases,
    ledger: ProvingLedger,
    runtime: Runtime,
) -> Components:
    """Build the components of an operator on its files, a ledger and a runtime."""
    myself = settings.operator
    log = open_log(databases.log, settings.pinned, runtime)
    follower = Follower(
        log,
        ledger,
        monotonic=runtime.monotonic,
        files=CommitteeFiles(log, runtime).fetch,
    )
    probe_history = ProbeHistory(log, runtime.wall)
    evidence_store = EvidenceStore(databases.evidence, settings.evidence_mb << 20)
    evidence = EvidenceRecorder(settings.seat, log, evidence_store, runtime)
    follower.subscribe(evidence.note_entries)

    def note(result: ProbeResult) -> None:
        probe_history.add(result)
        evidence.note_look(result)

    approvals = Approvals(approval_path(settings.database), runtime.wall)
    operator_keys = OperatorKeys(log, runtime.wall, approvals.current)
    beat_relay = BeatRelay(log, myself, runtime)
    beats = BeatBook(
        log,
        runtime.wall,
        runtime.monotonic,
        pass_on=beat_relay.pass_on,
        processor=runtime.processor,
    )
    prober = Prober(
        log,
        runtime,
        myself=myself,
        on_result=note,
        keys_of=operator_keys.of,
        last_beat=beats.newest,
    )
    peers = PeerMonitor(log, myself, prober, runtime)
    operator_journal = Journal(databases.journal, log)
    window_voter = _window_voter(settings, log, operator_journal, databases, runtime)
    status_checks = StatusChecks(
        seated=log,
        myself=myself,
        journal=operator_journal,
        log=log,
        follower=follower,
        prober=prober,
        peers=peers,
        wall=runtime.wall,
    )
    log_claim_checks = LogClaimChecks(log, peers, runtime.wall)
    key_check = KeyCheck(log, settings.seat, approvals, runtime)
    gaps = JournalGaps(databases.journal, myself, log, runtime.wall)
    gaps.check_newest()
    follower.subscribe(gaps.check)
    attester = Attester(
        log,
        settings.seat,
        journal=operator_journal,
        log=log,
        follower=follower,
        status_checks=status_checks,
        log_claim_checks=log_claim_checks,
        handover_checks=HandoverChecks(
            log=log,
            follower=follower,
            seat=settings.seat,
            approvals=approvals,
            status_checks=status_checks,
            log_claim_checks=log_claim_checks,
            ledger=ledger,
        ),
        window_voter=window_voter,
        key_check=key_check,
        gaps=gaps,
        runtime=runtime,
        on_signed=evidence.note_signature,
    )
    reporter = _reporter(settings, prober, log, runtime)
    heard_rounds = HeardRounds(runtime.monotonic)
    follower.subscribe(SeatReport(settings.seat, log).update)
    return Components(
        myself=myself,
        seat=settings.seat,
        journal=operator_journal,
        gaps=gaps,
        key_check=key_check,
        attester=attester,
        window_voter=window_voter,
        reporter=reporter,
        peer_reports=PeerReports(log, log, peers, reporter),
        target_looks=TargetLooks(log, prober, runtime),
        log=log,
        approvals=approvals,
        streams=StreamRecords(databases.log, log.note_damage),
        follower=follower,
        peers=peers,
        probe_history=probe_history,
        beats=beats,
        beat_relay=beat_relay,
        heard_rounds=heard_rounds,
        evidence=evidence,
        certification=Certification(log, log, follower, runtime, heard_rounds),
        entropy=runtime.entropy,
        wall=runtime.wall,
        disks=[databases.log.disk],
    )


def _window_voter(
    settings: Settings, log: Log, journal: Journal, databases: Databases, runtime: Runtime
) -> WindowVoter:
    known = KnownStreams(log, settings.listed_streams)
    rate_limiter = RateLimiter(
        settings.streams, settings.windows_per_second, known.is_known, runtime.monotonic
    )
    verifications = VerificationScheduler(
        known.is_known,
        monotonic=runtime.monotonic,
        processor=runtime.processor,
        workers=settings.verifiers,
    )
    return WindowVoter(
        log,
        log,
        ObjectStore(databases.objects, settings.objects_mb << 20, known.is_known),
        VerdictStore(databases.log),
        journal.windows,
        rate_limiter,
        ObjectClient(lambda: _object_sources(log.committee, settings.operator), runtime),
        runtime.wall,
        known,
        FetchLimits.create(),
        verifications,
        RefutationLimit(OPERATOR_RATE, known.is_known, runtime.monotonic),
        WindowVerifier(settings.verifiers, VOTE_THREADS),
    )


def _reporter(settings: Settings, prober: Prober, log: Log, runtime: Runtime) -> Reporter:
    return Reporter(
        log,
        settings.operator,
        settings.seat,
        prober=prober,
        log=log,
        runtime=runtime,
    )


def _object_sources(committee: Committee, myself: str) -> list[str]:
    """URLs to fetch missing objects from: aggregators by rank, then the other operators."""
    ranked = sorted(committee.aggregators, key=lambda aggregator: aggregator.rank)
    peers = [operator.url for operator in committee.operators if operator.id != myself]
    return [aggregator.url for aggregator in ranked] + peers


def serve(environ: Mapping[str, str]) -> None:
    """Run an operator (`dragon serve operator`). Raises SettingsError, KeystoreError."""
    settings = Settings.from_environ(environ)
    nodes = load_nodes(settings.nodes_files, settings.pinned)
    serve_http(
        lambda: build(settings, nodes),
        name=settings.operator,
        host=settings.host,
        port=settings.port,
        threads=READ_THREADS,
        tls=settings.tls,
    )
