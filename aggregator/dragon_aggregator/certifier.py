"""Certifying: ask the operators at once, check every answer on arrival, stop at the quorum.

Nothing here is trusted by anybody: what comes out is a certificate that anyone can verify, or none.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from prometheus_client import Counter

from dragon.errors import AttestationRefused, PeerError
from dragon.net.operator_client import OperatorClient
from dragon.net.runtime import Runtime
from dragon.protocol import certificate
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import Claim, kind_of
from dragon.protocol.committee import Committee
from dragon.protocol.refusal import RefusalReason

ASK_AGAIN = 0.2  # seconds after which an operator that is busy is asked again
AT_ONCE = 32  # requests under way to one operator: a silent one holds up only its own answers


@dataclass(frozen=True, slots=True)
class AttestationResult:
    """One operator's answer."""

    operator: str
    outcome: str  # "signed", a refusal's reason, or why there was no usable answer
    latency_ms: int
    signature: bytes | None = field(default=None, repr=False)


@dataclass(slots=True)
class AttestationRound:
    """One claim and what the operators said to it. Late answers are still noted down."""

    claim: Claim
    asked: tuple[str, ...]
    needed: int
    certificate: Certificate | None = None
    answers: dict[str, AttestationResult] = field(default_factory=dict)

    def outcome_of(self, operator: str) -> str:
        answer = self.answers.get(operator)
        return answer.outcome if answer else "no answer yet"


class Certifier:
    """Gathers attestations. Owns one small executor for each operator."""

    def __init__(self, committee: Committee, runtime: Runtime) -> None:
        self._committee = committee
        self._http = runtime.http
        self._monotonic = runtime.monotonic
        self._sleep = runtime.sleep
        self._answered = Counter(
            "datadragon_attestation_answers",
            "What each operator said to a claim.",
            ["operator", "outcome"],
            registry=None,
        )
        self._gathered = Counter(
            "datadragon_gatherings", "Claims put to the operators.", ["certified"], registry=None
        )
        self._certified = Counter(
            "datadragon_certificates", "Claims certified.", ["kind", "status"], registry=None
        )
        self.counters = (self._answered, self._gathered, self._certified)  # for Prometheus
        self._pools: dict[str, Executor] = {
            operator: runtime.workers(AT_ONCE) for operator in committee.keys
        }

    def collect(
        self,
        claim: Claim,
        ends: float,
        note: Callable[[AttestationRound], None] = lambda _: None,
    ) -> AttestationRound:
        """Ask everybody who may sign `claim`; return at the quorum, or at `ends` (monotonic).

        `note` gets the gathering as soon as it begins, so that it can be watched.
        """
        asked = self._who_may_sign(claim)
        gathering = AttestationRound(claim, asked, certificate.quorum(claim, self._committee))
        note(gathering)
        arrived: queue.SimpleQueue[AttestationResult] = queue.SimpleQueue()
        asking = [self._ask(operator, claim, ends, gathering, arrived) for operator in asked]
        signatures = self._collect(gathering, arrived, ends)
        for future in asking:
            future.cancel()  # those that never began; the others end by their own deadline
        if len(signatures) >= gathering.needed:
            certified = certificate.assemble(claim, signatures, self._committee)
            certified.verify(self._committee)
            gathering.certificate = certified
            self._certified.labels(claim.KIND, getattr(claim, "status", "none")).inc()
        self._gathered.labels(str(gathering.certificate is not None).lower()).inc()
        return gathering

    def close(self) -> None:
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _who_may_sign(self, claim: Claim) -> tuple[str, ...]:
        kind = kind_of(claim)
        return tuple(each for each in self._committee.keys if kind.may_sign(claim, each))

    def _ask(
        self,
        operator: str,
        claim: Claim,
        ends: float,
        gathering: AttestationRound,
        arrived: queue.SimpleQueue[AttestationResult],
    ) -> Future[None]:
        client = OperatorClient(self._committee, operator, self._http)

        def ask() -> None:
            answer = self._attestation(client, claim, ends)
            gathering.answers[operator] = answer
            arrived.put(answer)

        return self._pools[operator].submit(ask)

    def _attestation(self, client: OperatorClient, claim: Claim, ends: float) -> AttestationResult:
        """Runs on a thread of the operator's pool. Never raises."""
        begun = self._monotonic()
        signature: bytes | None = None
        outcome = RefusalReason.BUSY.value
        while outcome == RefusalReason.BUSY and (left := ends - self._monotonic()) > 0:
            try:
                signature = client.attest(claim, deadline=max(0.05, left))
                outcome = "signed"
            except AttestationRefused as error:
                outcome = error.reason
                if outcome == RefusalReason.BUSY:
                    self._sleep(min(ASK_AGAIN, left))
            except PeerError as error:
                outcome = str(error.facts.get("reason", error.name))
        latency = round(1000 * (self._monotonic() - begun))
        self._answered.labels(client.operator, outcome).inc()
        return AttestationResult(client.operator, outcome, latency, signature)

    def _collect(
        self,
        gathering: AttestationRound,
        arrived: queue.SimpleQueue[AttestationResult],
        ends: float,
    ) -> dict[str, bytes]:
        signatures: dict[str, bytes] = {}
        for outstanding in reversed(range(len(gathering.asked))):
            try:
                answer = arrived.get(timeout=max(0.0, ends - self._monotonic()))
            except queue.Empty:
                break
            if answer.signature is not None:
                signatures[answer.operator] = answer.signature
            if not len(signatures) < gathering.needed <= len(signatures) + outstanding:
                break  # met, or out of reach
        return signatures


class ActiveClaims:
    """Which nodes are being gathered for, so that no node is gathered for twice at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: set[str] = set()

    def take(self, node_id: str) -> bool:
        with self._lock:
            if node_id in self._nodes:
                return False
            self._nodes.add(node_id)
            return True

    def release(self, node_id: str) -> None:
        with self._lock:
            self._nodes.discard(node_id)
