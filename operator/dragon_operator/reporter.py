"""Reports: anybody may say that a node changed; the operator believes only its own eyes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from dragon import bls
from dragon.claim import RefusalReason, Status, Suspicion
from dragon.clients.aggregator_client import AggregatorClient
from dragon.clients.probe import Prober
from dragon.committee import Committee, check_node_id
from dragon.errors import AttestationRefused, PeerError, Unreachable
from dragon.log.repository import Log

DELIVERY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a report."""

    suspicion: Suspicion
    delivered: Sequence[str]  # the aggregators that took it


@dataclass(frozen=True, slots=True)
class Reporter:
    committee: Committee
    myself: str
    secret: bls.SecretKey = field(repr=False)
    prober: Prober
    log: Log
    aggregators: Sequence[AggregatorClient]
    executor: Executor
    wall: Callable[[], float]

    def report(self, node_id: str, status: Status) -> Report:
        """Look at the node; where we see that change too, tell every aggregator, signed.

        Raises:
            UnknownNode: the committee does not list it.
            AttestationRefused: we see otherwise, or the log says so already.
            Unreachable: no aggregator took the suspicion.
        """
        check_node_id(self.committee, node_id)
        if node_id == self.myself:
            raise AttestationRefused(RefusalReason.SUBJECT, "an operator does not report itself")
        if self.log.state.status(node_id) is status:
            message = f"{node_id} is {status} in the log"
            raise AttestationRefused(RefusalReason.NO_CHANGE, message)
        self._check_sight(node_id, status)
        return self._deliver(self._suspicion(node_id, status))

    def _check_sight(self, node_id: str, status: Status) -> None:
        seen = self.prober.look([node_id])[node_id]
        if seen.status is not status:
            pause = self.committee.rounds.reprobe_pause
            seen = self.prober.look([node_id], pause)[node_id]
        if seen.status is not status:
            up = seen.status is Status.UP
            reason = RefusalReason.SEES_UP if up else RefusalReason.SEES_DOWN
            raise AttestationRefused(reason, f"{node_id} looks {seen.status} from here")

    def _suspicion(self, node_id: str, status: Status) -> Suspicion:
        rounds = self.committee.rounds
        timestamp = rounds.start(rounds.number(self.wall()))
        return Suspicion(node_id, status, timestamp, self.myself)

    def _deliver(self, suspicion: Suspicion) -> Report:
        signature = self.secret.sign(suspicion.root(self.committee.id))

        def tell(aggregator: AggregatorClient) -> str | None:
            try:
                aggregator.suspect(suspicion, signature, deadline=DELIVERY_SECONDS)
            except PeerError:
                return None
            return aggregator.url

        told = self.executor.map(tell, self.aggregators)
        delivered = [url for url in told if url is not None]
        if not delivered:
            raise Unreachable("no aggregator took the suspicion", reason="aggregators")
        return Report(suspicion, delivered)
