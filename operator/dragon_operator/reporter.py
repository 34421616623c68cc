"""Reports: anyone may report that a node has changed. The operator verifies it by a probe."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Final

from dragon.errors import AttestationRefused, Busy, PeerError, Unreachable
from dragon.log.store import Log
from dragon.net.aggregator_client import AggregatorClient
from dragon.net.http_client import PRIVATE_ADDRESS
from dragon.net.per_member import PerMember
from dragon.net.runtime import Runtime
from dragon.probing.lookup_faults import control_names, is_resolver_at_fault
from dragon.probing.probe_result import ProbeResult
from dragon.probing.prober import Prober
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, Seated, check_node_id
from dragon.protocol.messages import Suspicion
from dragon.protocol.refusal import RefusalReason
from dragon_operator.seat import Seat

DELIVERY_TIMEOUT_SECONDS: Final = 2.0  # for one aggregator to accept a suspicion
MAX_CONCURRENT_REPORTS: Final = 4  # beyond, reports are `busy`
_TOO_FEW_LOOKS: Final = RefusalReason.TOO_FEW_LOOKS


@dataclass(frozen=True, slots=True)
class Report:
    """Result of a report."""

    suspicion: Suspicion
    delivered: Sequence[str]  # URLs of the aggregators that accepted the suspicion


class Reporter:
    """Verifies reports. Few at a time, so that many reports never block status answers."""

    def __init__(
        self,
        seated: Seated,
        myself: str,
        seat: Seat,
        *,
        prober: Prober,
        log: Log,
        runtime: Runtime,
    ) -> None:
        self._seated = seated
        self._myself = myself
        self._seat = seat
        self._prober = prober
        self._log = log
        self._http = runtime.http
        # Threads of each aggregator, by URL. One delivery more than there are reports of others:
        # our own reports never wait for theirs.
        self._workers: PerMember[Executor] = PerMember(
            lambda _: runtime.workers(MAX_CONCURRENT_REPORTS + 1),
            lambda pool: pool.shutdown(wait=False, cancel_futures=True),
        )
        self._wall = runtime.wall
        self._slots = threading.BoundedSemaphore(MAX_CONCURRENT_REPORTS)
        self._lock = threading.Lock()  # guards the next line
        self._delivered: dict[Suspicion, Report] = {}  # of the current round

    @property
    def _committee(self) -> Committee:
        """The committee that holds now."""
        return self._seated.committee

    def report(self, node_id: str, status: Status) -> Report:
        """Probe the node. If it has changed, send a signed suspicion to every aggregator.

        Raises:
            UnknownNode: the committee does not list the node.
            AttestationRefused: our probe disagrees, or the log already has that status.
            Unreachable: no aggregator accepted the suspicion.
            Busy: too many reports are in progress.
        """
        if not self._slots.acquire(blocking=False):
            message = f"{MAX_CONCURRENT_REPORTS} reports are in progress, the maximum"
            raise Busy(message)
        try:
            return self.report_own(node_id, status)
        finally:
            self._slots.release()

    def report_own(self, node_id: str, status: Status) -> Report:
        """As `report`, for changes that this operator has noticed itself. It is never busy.

        Otherwise anyone could suppress them with many reports.
        """
        check_node_id(self._committee, node_id)
        if node_id == self._myself:
            raise AttestationRefused(
                RefusalReason.SUBJECT,
                f"{node_id} cannot be reported to itself; report it to another operator",
            )
        if self._log.state.status(node_id) is status:
            message = f"{node_id} is already {status} in the log"
            raise AttestationRefused(RefusalReason.NO_CHANGE, message)
        self._check_sight(node_id, status)
        return self._deliver_once(self._suspicion(node_id, status))

    def _check_sight(self, node_id: str, status: Status) -> None:
        seen = self._prober.probe([node_id])[node_id]
        if seen.status is not status:
            pause = self._committee.rounds.reprobe_pause_seconds
            seen = self._prober.probe([node_id], pause)[node_id]
        if not seen.is_evidence:
            message = f"this operator cannot judge {node_id} ({seen.reason})"
            raise AttestationRefused(_TOO_FEW_LOOKS, message)
        if seen.status is not status:
            up = seen.status is Status.UP
            reason = RefusalReason.SEES_UP if up else RefusalReason.SEES_DOWN
            raise AttestationRefused(
                reason, f"our probe found {node_id} {seen.status} ({seen.reason})"
            )
        self._check_resolved(node_id, seen)
        if not self._prober.supports(node_id, status):
            message = f"too few looks in a row have found {node_id} {status}"
            raise AttestationRefused(_TOO_FEW_LOOKS, message)

    def _check_resolved(self, node_id: str, seen: ProbeResult) -> None:
        """Refuse to report a node whose name our own resolver may have failed to resolve."""
        controls = control_names(self._committee, node_id, seen)
        results = {**self._prober.probe(controls), node_id: seen}
        if is_resolver_at_fault(self._committee, node_id, results, self._log.state):
            if seen.reason == PRIVATE_ADDRESS:
                message = f"the name of {node_id} has only private addresses here"
                raise AttestationRefused(RefusalReason.PRIVATE_ADDRESS, message)
            message = f"the name of {node_id} cannot be resolved here"
            raise AttestationRefused(RefusalReason.DNS, message)

    def _suspicion(self, node_id: str, status: Status) -> Suspicion:
        rounds = self._committee.rounds
        timestamp = rounds.start(rounds.number(self._wall()))
        return Suspicion(node_id, status, timestamp, self._myself)

    def _deliver_once(self, suspicion: Suspicion) -> Report:
        """Deliver a suspicion once per round, however often it is reported."""
        with self._lock:
            if known := self._delivered.get(suspicion):
                return known
        report = self._deliver(suspicion)
        with self._lock:
            current = {
                s: r for s, r in self._delivered.items() if s.timestamp == suspicion.timestamp
            }
            self._delivered = {**current, suspicion: report}
        return report

    def _deliver(self, suspicion: Suspicion) -> Report:
        if (secret := self._seat.secret_in(self._committee)) is None:
            raise AttestationRefused(RefusalReason.UNSEATED, "this operator has no seat")
        signature = secret.sign(suspicion.root(self._committee.network_id))

        def deliver(url: str) -> bool:
            try:
                AggregatorClient(url, self._http).suspect(
                    suspicion, signature, deadline=DELIVERY_TIMEOUT_SECONDS
                )
            except PeerError:
                return False
            return True

        def submit(url: str) -> Future[bool]:
            return self._workers.use(url, lambda pool: pool.submit(deliver, url))

        urls = list(dict.fromkeys(each.url for each in self._committee.aggregators))
        self._workers.keep(urls)
        sent = [(url, submit(url)) for url in urls]
        delivered = [url for url, future in sent if future.result()]
        if not delivered:
            raise Unreachable("no aggregator accepted the suspicion", reason="aggregators")
        return Report(suspicion, delivered)
