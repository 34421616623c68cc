"""Watching: probe every node each round, and have a change certified that was seen twice.

The aggregator decides nothing. What it takes for a change is a question to the operators; they look
for themselves.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from prometheus_client import Counter, Histogram

from dragon.errors import BadSignature, Busy, OffRound, UnknownSigner
from dragon.log.follower import Follower
from dragon.log.store import Log
from dragon.net.runtime import Runtime
from dragon.probing import clock_skew
from dragon.probing.prober import Prober, ProbeResult
from dragon.protocol import bls
from dragon.protocol.claims.base import Claim, kind_of, ordering_key
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import Committee, byzantine_faults, check_node_id
from dragon.protocol.messages import Suspicion
from dragon.protocol.state import State, advance
from dragon_aggregator.certifier import ActiveClaims, AttestationRound, Certifier
from dragon_aggregator.outbox import Outbox, last_known

UPTIME_ROUNDS: Final = 6  # own uptime before an unknown node may be called down
KEPT_ROUNDS: Final = 120
GATHERINGS_AT_ONCE: Final = 64
SUSPICIONS_AT_ONCE: Final = 64
BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)  # seconds of a round

logger = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class Round:
    """What happened in one round, for people: `GET /rounds`."""

    number: int
    start: int  # Unix seconds
    begun_at: float
    took: float | None = None  # seconds; None while it runs
    overran: bool = False
    skipped: int = 0  # rounds that passed before this one, because an earlier one overran
    note: str = ""
    probe_results: list[ProbeResult] = field(default_factory=list)
    gatherings: list[AttestationRound] = field(default_factory=list)


class Monitor:
    """The rounds of one aggregator. Owns the record of the recent ones."""

    def __init__(
        self,
        committee: Committee,
        rank: int,
        *,
        prober: Prober,
        certifier: Certifier,
        outbox: Outbox,
        log: Log,
        follower: Follower,
        runtime: Runtime,
    ) -> None:
        self._committee = committee
        self._rank = rank
        self._prober = prober
        self._certifier = certifier
        self._outbox = outbox
        self._log = log
        self._follower = follower
        self._runtime = runtime
        self._started = runtime.monotonic()
        self._gatherers = runtime.workers(GATHERINGS_AT_ONCE)
        self._in_progress = ActiveClaims()
        self._lock = threading.Lock()  # guards the next line
        self._suspected: set[tuple[str, str, int]] = set()  # operator, node, round
        self._suspecting = threading.BoundedSemaphore(SUSPICIONS_AT_ONCE)
        self._probe_results: Mapping[str, ProbeResult] = {}
        self.recent: deque[Round] = deque(maxlen=KEPT_ROUNDS)
        self._rounds = Counter("datadragon_rounds", "Finished rounds.", registry=None)
        self._overrun = Counter(
            "datadragon_rounds_overrun", "Rounds longer than a round.", registry=None
        )
        self._seconds = Histogram(
            "datadragon_round_seconds", "How long rounds took.", buckets=BUCKETS, registry=None
        )
        of_rounds = (self._rounds, self._overrun, self._seconds)
        self.counters = (prober.counter, *certifier.counters, *of_rounds)  # for Prometheus

    # Rounds

    def run(self, stop: threading.Event) -> None:
        """One round after the other, each at its own beginning by the clock on the wall."""
        rounds = self._committee.rounds
        last = rounds.number(self._runtime.wall())
        while not stop.is_set():
            number = rounds.number(self._runtime.wall())
            if number > last:
                self.run_round(number, skipped=number - last - 1)
            last = number  # also where the clock on the wall was set back
            left = rounds.start(number + 1) - self._runtime.wall()
            stop.wait(min(max(0.01, left), rounds.seconds))

    def run_round(self, number: int, *, skipped: int = 0) -> Round:
        """Probe, probe again what has changed, collect for what changed twice."""
        rounds, begun = self._committee.rounds, self._runtime.monotonic()
        record = Round(number, rounds.start(number), self._runtime.wall(), skipped=skipped)
        self.recent.append(record)
        claims: list[Claim] = [
            StatusClaim(node_id, status, record.start)
            for node_id, status in self._changes(record).items()
        ]
        if (checkpoint := self._checkpoint(record)) is not None:
            claims.append(checkpoint)
        ends = self._gather_ends()
        jobs = [self._gatherers.submit(self._certify, claim, ends, record) for claim in claims]
        for job in jobs:
            job.result()
        record.took = self._runtime.monotonic() - begun
        record.overran = record.took > rounds.seconds
        self._rounds.inc()
        self._seconds.observe(record.took)
        if record.overran:
            self._overrun.inc()
            logger.warning("round_overran", number=number, seconds=round(record.took, 1))
        return record

    def _changes(self, record: Round) -> dict[str, Status]:
        """The nodes that two probes of this round show otherwise than they are known."""
        results = self._prober.probe(self._committee.urls, max_age=0)
        self._probe_results = results
        record.probe_results = list(results.values())
        if why := self._why_abstain():
            record.note = why
            return {}
        once = self._differing(results, self._committee.urls)
        if not once:
            return {}
        self._runtime.sleep(self._committee.rounds.reprobe_pause)
        # The other operators too: a failure counts only beside somebody's success.
        again = self._prober.probe([*once, *self._committee.keys], max_age=0)
        record.probe_results += [again[node_id] for node_id in once]
        twice = self._differing(again, once)
        return {node_id: status for node_id, status in twice.items() if once[node_id] is status}

    def _why_abstain(self) -> str:
        if not self._follower.has_read_all and not self._log.alarm():
            return "abstains: the ledger has not been read to its end"
        if self.clock_is_wrong():
            return "abstains: the operators' clocks put ours more than 2 s off"
        return ""

    def _differing(
        self, results: Mapping[str, ProbeResult], node_ids: Iterable[str]
    ) -> dict[str, Status]:
        differing: dict[str, Status] = {}
        for node_id in node_ids:
            status, known = results[node_id].status, self._known(node_id)
            if status is known or (status is Status.DOWN and not self._counts(node_id, results)):
                continue
            if known is None and status is Status.DOWN and not self._settled:
                continue
            differing[node_id] = status
        return differing

    def _counts(self, node_id: str, results: Mapping[str, ProbeResult]) -> bool:
        """A failure is the node's own only if another operator answered at the same time; what
        hits everybody is ours."""
        others = (results[key] for key in self._committee.keys if key in results and key != node_id)
        return any(result.answered for result in others)

    @property
    def _settled(self) -> bool:
        uptime = self._runtime.monotonic() - self._started
        return uptime >= UPTIME_ROUNDS * self._committee.rounds.seconds

    def _known(self, node_id: str) -> Status | None:
        last = last_known(self._outbox, self._log, node_id)
        return last.status if last else None

    def clock_is_wrong(self) -> bool:
        results = self._probe_results.values()
        offsets = [offset for s in results if (offset := s.certain_offset_ms) is not None]
        return clock_skew.is_wrong(offsets, byzantine_faults(len(self._committee.operators)))

    # AttestationRound

    def _gather_ends(self) -> float:
        """One deadline for all gatherings of a round, however many wait for a thread."""
        return self._runtime.monotonic() + self._committee.rounds.gather_deadline

    def _certify(self, claim: Claim, ends: float, record: Round) -> None:
        """Gather for one claim and put the certificate into the outbox."""
        if not self._in_progress.take(ordering_key(claim)):
            return
        try:
            if not self._is_news(claim):
                return
            gathering = self._certifier.collect(claim, ends, record.gatherings.append)
            if gathering.certificate is not None:
                self._outbox.add(gathering.certificate, not_before=self._not_before())
                logger.info("certificate_assembled", claim=claim.to_json())
        finally:
            self._in_progress.release(ordering_key(claim))

    def _is_news(self, claim: Claim) -> bool:
        """Compare with what is certified, in the log or still in the outbox.

        Under an alarm the log stands still and says nothing about now: the operators decide.
        """
        state = State() if self._log.alarm() else self._log.state
        for pending in self._outbox.claims(ordering_key(claim)):
            state = advance(state, pending)
        return kind_of(claim).superseded(claim, state, self._committee) is None

    def _checkpoint(self, record: Round) -> CheckpointClaim | None:
        """Return the claim on the own log, when one is due."""
        if record.note or self._log.alarm() or not (size := self._log.state.size):
            return None
        claim = CheckpointClaim(size, self._log.checkpoint(size).root, record.start)
        superseded = kind_of(claim).superseded(claim, self._log.state, self._committee)
        return None if superseded else claim

    def _not_before(self) -> float:
        """The first in rank sends at once; each further one leaves the others a round more."""
        wait = self._rank * self._committee.rounds.seconds
        return self._runtime.wall() + wait if wait else 0.0

    # Suspicions

    def suspect(self, suspicion: Suspicion, signature: bytes) -> bool:
        """Take an operator's suspicion; whether it starts a gathering (else it is no news).

        Raises:
            UnknownSigner, UnknownNode, OffRound, BadSignature: it is not to be believed.
            Busy: too many at once.
        """
        self._check(suspicion, signature)
        rounds = self._committee.rounds
        number = rounds.number(self._runtime.wall())
        node_id, status, ends = suspicion.node_id, suspicion.status, self._gather_ends()
        if self._known(node_id) is status or self._why_abstain():
            return False
        if not self._suspecting.acquire(blocking=False):
            raise Busy("too many suspicions are being looked into")
        if not self._is_first((suspicion.operator, node_id, number)):
            self._suspecting.release()
            return False
        record = self._record(number)
        claim = StatusClaim(node_id, status, record.start)
        try:
            job = self._gatherers.submit(self._certify, claim, ends, record)
        except BaseException:
            self._suspecting.release()
            raise
        job.add_done_callback(lambda _: self._suspecting.release())
        return True

    def _record(self, number: int) -> Round:
        """The record of that round; one of its own if the round has not begun here."""
        if self.recent and self.recent[-1].number == number:
            return self.recent[-1]
        return Round(number, self._committee.rounds.start(number), self._runtime.wall())

    def _check(self, suspicion: Suspicion, signature: bytes) -> None:
        if suspicion.operator not in self._committee.keys:
            raise UnknownSigner(f"{suspicion.operator} is not in the committee")
        check_node_id(self._committee, suspicion.node_id)
        rounds = self._committee.rounds
        age = rounds.number(self._runtime.wall()) - rounds.number(suspicion.timestamp)
        if not rounds.starts_at(suspicion.timestamp) or abs(age) > 1:
            raise OffRound("the suspicion is not about this round", timestamp=suspicion.timestamp)
        key = self._committee.keys[suspicion.operator]
        if not bls.is_signed(key, suspicion.root(self._committee.id), signature):
            raise BadSignature(f"the suspicion is not signed by {suspicion.operator}")

    def _is_first(self, key: tuple[str, str, int]) -> bool:
        """One suspicion per operator, node and round; older rounds are forgotten."""
        with self._lock:
            if key in self._suspected:
                return False
            self._suspected = {known for known in self._suspected if known[2] >= key[2] - 1} | {key}
            return True

    def close(self) -> None:
        self._gatherers.shutdown(wait=False, cancel_futures=True)
