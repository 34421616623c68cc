"""Certifying: request attestations from all operators, verify each, and stop at the quorum.

The aggregator is not trusted: anyone can verify the certificate that results.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from prometheus_client import Counter

from dragon.errors import AttestationRefused, NotCertified, PeerError
from dragon.net.operator_client import OperatorClient
from dragon.net.per_member import PerMember
from dragon.net.runtime import Runtime
from dragon.protocol import certificate
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import Claim, kind_of, kinds
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.committee import Committee, Seated
from dragon.protocol.refusal import RefusalReason
from dragon_aggregator.ballot_box import valid_signatures

BUSY_RETRY_SECONDS: Final = 0.2  # before a busy operator is asked again
# Requests to one operator, so that a silent one delays no other. Each kind of claim has its own
# threads: anyone may request downtime certificates and submit windows.
MAX_CONCURRENT_REQUESTS: Final = 32
MAX_CONCURRENT_DOWNTIME_REQUESTS: Final = 4
MAX_CONCURRENT_PERIOD_REQUESTS: Final = 2  # an operator evaluates one period at a time
NO_SIGNATURES: Final[Mapping[str, bytes]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class AttestationResult:
    """One operator's attestation, or its refusal."""

    operator: str
    outcome: str  # "signed", a refusal reason, or why there was no usable answer
    latency_ms: int
    signature: bytes | None = field(default=None, repr=False)
    detail: str = ""  # the operator's explanation of a refusal, or ours of a failed request


@dataclass(slots=True)
class AttestationRound:
    """One claim and the operators' answers. Late answers are added as well."""

    claim: Claim
    asked: tuple[str, ...]
    needed: int
    certificate: Certificate | None = None
    answers: dict[str, AttestationResult] = field(default_factory=dict)

    def outcome_of(self, operator: str) -> str:
        """Return the operator's outcome as a word."""
        answer = self.answers.get(operator)
        return answer.outcome if answer else "no answer yet"

    def certified(self, what: str) -> Certificate:
        """Return the certificate.

        Args: `what`, the claim for people, such as "these totals".

        Raises NotCertified: too few operators signed; `answers` has each operator's outcome.
        """
        if self.certificate is None:
            answers = {operator: self.outcome_of(operator) for operator in self.asked}
            raise NotCertified(f"too few operators signed {what}", answers=answers)
        return self.certificate


class Certifier:
    """Collects attestations. Has a small thread pool for each operator and kind of claim."""

    def __init__(self, seated: Seated, runtime: Runtime) -> None:
        self._seated = seated
        self._http = runtime.http
        self._monotonic = runtime.monotonic
        self._sleep = runtime.sleep
        self._answered = Counter(
            "datadragon_attestation_answers",
            "Answers to attestation requests, by operator and outcome.",
            ["operator", "outcome"],
            registry=None,
        )
        self._collected = Counter(
            "datadragon_gatherings",
            "Claims for which attestations were collected.",
            ["certified"],
            registry=None,
        )
        self._certified = Counter(
            "datadragon_certificates",
            "Certificates assembled.",
            ["kind", "status"],
            registry=None,
        )
        self.counters = (self._answered, self._collected, self._certified)  # for Prometheus
        self._pools = PerMember(
            lambda _: {
                kind.claim.KIND: runtime.workers(_most_requests(kind.claim.KIND))
                for kind in kinds()
            },
            _shut_down,
        )

    @property
    def _committee(self) -> Committee:
        """The committee that holds now."""
        return self._seated.committee

    def collect(
        self,
        claim: Claim,
        ends: float,
        on_begin: Callable[[AttestationRound], None] = lambda _: None,
        *,
        signed: Mapping[str, bytes] = NO_SIGNATURES,
    ) -> AttestationRound:
        """Request attestations of a claim; return at the quorum or at `ends` (monotonic seconds).

        Args:
            on_begin: receives the round when it begins, so that its progress can be shown.
            signed: signatures on this claim by operators that are not asked again if they are
                valid, which is checked here.
        """
        committee = self._committee  # of the whole round: a handover may be applied meanwhile
        self._pools.keep(committee.keys)
        asked = _who_may_sign(claim, committee)
        attestation_round = AttestationRound(claim, asked, certificate.quorum(claim, committee))
        on_begin(attestation_round)
        self._use(attestation_round, signed, committee)
        self._request(attestation_round, committee, ends)
        self._collected.labels(str(attestation_round.certificate is not None).lower()).inc()
        return attestation_round

    def certified(self, made: Certificate) -> None:
        """Count a certificate that was made without a request of this certifier."""
        for operator in made.signers:
            self._answered.labels(operator, "signed").inc()
        self._collected.labels("true").inc()
        self._count(made)

    def _use(
        self, attestation_round: AttestationRound, signed: Mapping[str, bytes], committee: Committee
    ) -> None:
        """Enter the valid ones of signatures that are known already."""
        known = {each: signed[each] for each in attestation_round.asked if each in signed}
        for operator, signature in valid_signatures(
            attestation_round.claim, known, committee
        ).items():
            self._answered.labels(operator, "signed").inc()
            attestation_round.answers[operator] = AttestationResult(
                operator, "signed", 0, signature
            )

    def _request(
        self, attestation_round: AttestationRound, committee: Committee, ends: float
    ) -> None:
        """Request the attestations that lack, until there is a quorum."""
        arrived: queue.SimpleQueue[AttestationResult] = queue.SimpleQueue()
        signatures = {  # before anybody is asked: later answers arrive in the queue as well
            operator: answer.signature
            for operator, answer in attestation_round.answers.items()
            if answer.signature is not None
        }
        asking = [
            self._ask(
                OperatorClient(committee, operator, self._http), ends, attestation_round, arrived
            )
            for operator in attestation_round.asked
            if operator not in attestation_round.answers
        ]
        self._receive(signatures, attestation_round, arrived, len(asking), ends)
        for future in asking:
            future.cancel()  # those that have not begun; the others end by their own deadline
        if len(signatures) >= attestation_round.needed:
            certified = certificate.assemble(attestation_round.claim, signatures, committee)
            certified.verify(committee)
            attestation_round.certificate = certified
            self._count(certified)

    def _count(self, made: Certificate) -> None:
        claim = made.claim
        self._certified.labels(claim.KIND, getattr(claim, "status", "none")).inc()

    def close(self) -> None:
        self._pools.close()

    def _ask(
        self,
        client: OperatorClient,
        ends: float,
        attestation_round: AttestationRound,
        arrived: queue.SimpleQueue[AttestationResult],
    ) -> Future[None]:
        claim = attestation_round.claim

        def ask() -> None:
            answer = self._attestation(client, claim, ends)
            attestation_round.answers[client.operator] = answer
            arrived.put(answer)

        return self._pools.use(client.operator, lambda pools: pools[claim.KIND].submit(ask))

    def _attestation(self, client: OperatorClient, claim: Claim, ends: float) -> AttestationResult:
        """Request one attestation. Runs on a thread of the operator's pool. Never raises."""
        begun = self._monotonic()
        signature: bytes | None = None
        outcome, detail = RefusalReason.BUSY.value, ""
        while outcome == RefusalReason.BUSY and (left := ends - self._monotonic()) > 0:
            try:
                signature = client.attest(claim, deadline=max(0.05, left))
                outcome, detail = "signed", ""
            except AttestationRefused as error:
                outcome, detail = error.reason, str(error)
                if outcome == RefusalReason.BUSY:
                    self._sleep(min(BUSY_RETRY_SECONDS, left))
            except PeerError as error:
                outcome, detail = str(error.facts.get("reason", error.name)), str(error)
        latency = round(1000 * (self._monotonic() - begun))
        self._answered.labels(client.operator, outcome).inc()
        return AttestationResult(client.operator, outcome, latency, signature, detail)

    def _receive(
        self,
        signatures: dict[str, bytes],
        attestation_round: AttestationRound,
        arrived: queue.SimpleQueue[AttestationResult],
        asked: int,
        ends: float,
    ) -> None:
        """Add the signatures that arrive, until there is a quorum."""
        for outstanding in reversed(range(asked)):
            if len(signatures) >= attestation_round.needed:
                break
            try:
                answer = arrived.get(timeout=max(0.0, ends - self._monotonic()))
            except queue.Empty:
                break
            if answer.signature is not None:
                signatures[answer.operator] = answer.signature
            if not len(signatures) < attestation_round.needed <= len(signatures) + outstanding:
                break  # the quorum is met, or out of reach


def _who_may_sign(claim: Claim, committee: Committee) -> tuple[str, ...]:
    kind = kind_of(claim)
    return tuple(each for each in committee.keys if kind.may_sign(claim, each))


def _shut_down(pools: Mapping[str, Executor]) -> None:
    for pool in pools.values():
        pool.shutdown(wait=False, cancel_futures=True)


def _most_requests(kind: str) -> int:
    most = {
        DowntimeClaim.KIND: MAX_CONCURRENT_DOWNTIME_REQUESTS,
        PeriodClaim.KIND: MAX_CONCURRENT_PERIOD_REQUESTS,
    }
    return most.get(kind, MAX_CONCURRENT_REQUESTS)


class ActiveClaims:
    """The subjects of claims that are being certified, so that none is certified twice at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: set[str] = set()

    def take(self, key: str) -> bool:
        """Begin a claim with that ordering key. False if one is active."""
        with self._lock:
            if key in self._keys:
                return False
            self._keys.add(key)
            return True

    def release(self, key: str) -> None:
        with self._lock:
            self._keys.discard(key)
