"""Reports: anybody may say that a node changed; the operator believes only its own eyes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dragon.errors import AttestationRefused, Busy, PeerError, Unreachable
from dragon.log.store import Log
from dragon.net.aggregator_client import AggregatorClient
from dragon.net.runtime import Runtime
from dragon.probing.prober import Prober
from dragon.protocol import bls
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, check_node_id
from dragon.protocol.messages import Suspicion
from dragon.protocol.refusal import RefusalReason

DELIVERY_SECONDS: Final = 2.0
AT_ONCE: Final = 4  # reports looked into; more are `busy`


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a report."""

    suspicion: Suspicion
    delivered: Sequence[str]  # the aggregators that took it


class Reporter:
    """Owns a few slots, so that a flood of reports never takes the threads that answer probes."""

    def __init__(
        self,
        committee: Committee,
        myself: str,
        secret: bls.SecretKey,
        *,
        prober: Prober,
        log: Log,
        aggregators: Sequence[AggregatorClient],
        runtime: Runtime,
    ) -> None:
        self._committee = committee
        self._myself = myself
        self._secret = secret
        self._prober = prober
        self._log = log
        self._aggregators = aggregators
        self._executor = runtime.workers(AT_ONCE * max(1, len(aggregators)))
        self._wall = runtime.wall
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()  # guards the next line
        self._delivered: dict[Suspicion, Report] = {}  # of the current round

    def report(self, node_id: str, status: Status) -> Report:
        """Look at the node; where we see that change too, tell every aggregator, signed, once.

        Raises:
            UnknownNode: the committee does not list it.
            AttestationRefused: we see otherwise, or the log says so already.
            Unreachable: no aggregator took the suspicion.
            Busy: too many reports at once.
        """
        check_node_id(self._committee, node_id)
        if node_id == self._myself:
            raise AttestationRefused(RefusalReason.SUBJECT, "an operator does not report itself")
        if self._log.state.status(node_id) is status:
            message = f"{node_id} is {status} in the log"
            raise AttestationRefused(RefusalReason.NO_CHANGE, message)
        if not self._slots.acquire(blocking=False):
            raise Busy("too many reports are being looked into")
        try:
            self._check_sight(node_id, status)
            return self._deliver_once(self._suspicion(node_id, status))
        finally:
            self._slots.release()

    def _check_sight(self, node_id: str, status: Status) -> None:
        seen = self._prober.probe([node_id])[node_id]
        if seen.status is not status:
            pause = self._committee.rounds.reprobe_pause
            seen = self._prober.probe([node_id], pause)[node_id]
        if seen.status is not status:
            up = seen.status is Status.UP
            reason = RefusalReason.SEES_UP if up else RefusalReason.SEES_DOWN
            raise AttestationRefused(reason, f"{node_id} looks {seen.status} from here")

    def _suspicion(self, node_id: str, status: Status) -> Suspicion:
        rounds = self._committee.rounds
        timestamp = rounds.start(rounds.number(self._wall()))
        return Suspicion(node_id, status, timestamp, self._myself)

    def _deliver_once(self, suspicion: Suspicion) -> Report:
        """The same suspicion is delivered once in a round, however often it is reported."""
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
        signature = self._secret.sign(suspicion.root(self._committee.id))

        def tell(aggregator: AggregatorClient) -> str | None:
            try:
                aggregator.suspect(suspicion, signature, deadline=DELIVERY_SECONDS)
            except PeerError:
                return None
            return aggregator.url

        told = self._executor.map(tell, self._aggregators)
        delivered = [url for url in told if url is not None]
        if not delivered:
            raise Unreachable("no aggregator took the suspicion", reason="aggregators")
        return Report(suspicion, delivered)
