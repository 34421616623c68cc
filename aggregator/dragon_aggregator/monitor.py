"""Monitoring: probe all nodes each round, and have changes certified by the operators.

The aggregator decides nothing. A change that it detects is a question to the operators, who probe
the node themselves.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from prometheus_client import Counter, Histogram

from dragon.log.follower import Follower
from dragon.log.store import Log
from dragon.net.operator_keys import KeysOf
from dragon.net.runtime import Runtime
from dragon.node.certification import LastRound
from dragon.probing.probe_result import ProbeResult
from dragon.probing.prober import Prober
from dragon.protocol.claims.base import Claim, kind_of, ordering_key
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.committee import Committee, Seated
from dragon.protocol.messages import Suspicion
from dragon.protocol.rounds import Rounds
from dragon.protocol.state import State
from dragon.protocol.transition import advance
from dragon_aggregator.certifier import ActiveClaims, AttestationRound, Certifier
from dragon_aggregator.change_detector import ChangeDetector
from dragon_aggregator.clock_check import ClockCheck
from dragon_aggregator.outbox import MAX_PENDING_PER_KEY, Outbox
from dragon_aggregator.received_suspicions import Outcome
from dragon_aggregator.round_record import Round
from dragon_aggregator.suspicion_intake import SuspicionIntake

MAX_RECENT_ROUNDS: Final = 120  # records kept for `GET /rounds`
MAX_CONCURRENT_CLAIMS: Final = 64  # being certified at a time; others wait for a thread
MAX_WAIT_SECONDS: Final = 5.0  # between two looks at the clock: a handover may shorten the rounds
CLOCK_RETRY_SECONDS: Final = 1.0  # between two comparisons of a clock that has a fault
DURATION_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)  # seconds

logger = structlog.stdlib.get_logger(__name__)


class Monitor:
    """Runs the rounds of one aggregator, and keeps the records of recent ones."""

    def __init__(
        self,
        seated: Seated,
        rank: int,
        *,
        prober: Prober,
        certifier: Certifier,
        outbox: Outbox,
        log: Log,
        follower: Follower,
        clock: ClockCheck,
        keys_of: KeysOf,
        runtime: Runtime,
    ) -> None:
        """`keys_of`: returns the keys with which an operator may sign a suspicion."""
        self._seated = seated
        self._rank = rank
        self._prober = prober
        self._certifier = certifier
        self._outbox = outbox
        self._log = log
        self._clock = clock
        self._runtime = runtime
        self._change_detector = ChangeDetector(
            seated,
            prober=prober,
            outbox=outbox,
            log=log,
            follower=follower,
            clock=clock,
            runtime=runtime,
        )
        self._suspicions = SuspicionIntake(
            seated,
            self._certify,
            self._newest_record,
            self._change_detector,
            keys_of=keys_of,
            runtime=runtime,
        )
        self._workers = runtime.workers(MAX_CONCURRENT_CLAIMS)
        self._active_claims = ActiveClaims()
        self.last_quorum = LastRound(runtime.monotonic)
        self.recent: deque[Round] = deque(maxlen=MAX_RECENT_ROUNDS)
        self._rounds = Counter("datadragon_rounds", "Finished rounds.", registry=None)
        self._overrun = Counter(
            "datadragon_rounds_overrun",
            "Rounds that took longer than the configured round length.",
            registry=None,
        )
        self._seconds = Histogram(
            "datadragon_round_seconds",
            "Duration of rounds in seconds.",
            buckets=DURATION_BUCKETS,
            registry=None,
        )
        of_rounds = (self._rounds, self._overrun, self._seconds)
        self.counters = (*prober.counters, *certifier.counters, *of_rounds)  # for Prometheus

    # Rounds

    @property
    def _committee(self) -> Committee:
        """The committee that holds now."""
        return self._seated.committee

    def run(self, stop: threading.Event) -> None:
        """Run one round after the other, each from its start by the wall clock.

        Between rounds, a clock that is not confirmed, or is wrong, is compared with the operators'.
        """
        last = self._current_round()
        while not stop.is_set():
            rounds, number = self._current_round()
            # By the start: with other rounds, a handover numbers them anew.
            if rounds.start(number) > last[0].start(last[1]):
                skipped = number - last[1] - 1 if rounds == last[0] else 0
                self.run_round(number, skipped=skipped)
            else:
                self.check_clock()
            last = rounds, number  # also after the wall clock was set back
            left = rounds.start(number + 1) - self._runtime.wall()
            longest = CLOCK_RETRY_SECONDS if self._clock.fault else MAX_WAIT_SECONDS
            stop.wait(min(max(0.01, left), longest))

    def _current_round(self) -> tuple[Rounds, int]:
        rounds = self._committee.rounds
        return rounds, rounds.number(self._runtime.wall())

    def latest(self, node_id: str) -> ProbeResult | None:
        """Return the latest probe of a node; None if there was none since the start."""
        return self._prober.latest(node_id)

    def check_clock(self) -> None:
        """Compare a clock that has a fault with the operators': the next round may be hours off."""
        if self._clock.fault:
            self._change_detector.check_clock()

    def run_round(self, number: int, *, skipped: int = 0) -> Round:
        """Detect changes, and have them and a due checkpoint certified. Return the record."""
        begun = self._runtime.monotonic()
        start = self._committee.rounds.start(number)
        record = Round(number, start, self._runtime.wall(), skipped=skipped)
        self.recent.append(record)
        claims: list[Claim] = [
            StatusClaim(node_id, status, start)
            for node_id, status in self._change_detector.changes(record).items()
        ]
        if (checkpoint := self._due_checkpoint(record)) is not None:
            claims.append(checkpoint)
        ends = self._collection_ends()
        note = record.attestation_rounds.append
        jobs = [self._workers.submit(self._certify, claim, ends, note) for claim in claims]
        for job in jobs:
            job.result()
        self._finish(record, self._runtime.monotonic() - begun)
        return record

    def close(self) -> None:
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._suspicions.close()

    def _finish(self, record: Round, took: float) -> None:
        record.took = took
        record.overran = took > self._committee.rounds.seconds
        self._rounds.inc()
        self._seconds.observe(took)
        if record.overran:
            self._overrun.inc()
            logger.warning("round_overran", number=record.number, seconds=round(took, 1))

    # Certification

    def _collection_ends(self) -> float:
        """One deadline (monotonic seconds) for all claims of a round, even if some must wait."""
        return self._runtime.monotonic() + self._committee.rounds.collect_deadline_seconds

    def _certify(
        self, claim: Claim, ends: float, on_begin: Callable[[AttestationRound], None]
    ) -> Outcome:
        """Have one claim certified, and put the certificate into the outbox."""
        key = ordering_key(claim)
        if not self._active_claims.take(key):
            return Outcome.ALREADY_ASKED
        try:
            pending = self._outbox.claims(key)  # before the log: an applied event moves from here
            if len(pending) >= MAX_PENDING_PER_KEY:
                logger.warning("outbox_full", ordering_key=key, pending=len(pending))
                return Outcome.OUTBOX_FULL
            if self._is_superseded(claim, pending):
                return Outcome.NO_CHANGE
            return self._collect(claim, ends, on_begin)
        finally:
            self._active_claims.release(key)

    def _collect(
        self, claim: Claim, ends: float, on_begin: Callable[[AttestationRound], None]
    ) -> Outcome:
        result = self._certifier.collect(claim, ends, on_begin)
        if result.certificate is None:
            self.last_quorum.note_failure()
            return Outcome.NOT_CERTIFIED
        self.last_quorum.note()
        self._outbox.add(result.certificate, not_before=self._not_before())
        logger.info("certificate_assembled", claim=claim.to_json())
        return Outcome.CERTIFIED

    def _is_superseded(self, claim: Claim, pending: Sequence[Claim]) -> bool:
        """Compare with what is certified, in the log or still in the outbox (`pending`).

        Under an alarm the log is ignored, since nothing is applied to it: the operators decide.
        """
        state = self._log.state
        if self._log.alarm():
            state = State.of(state.committee)
        for certified in pending:
            if kind_of(certified).superseded(certified, state) is None:
                state = advance(state, certified)
        return kind_of(claim).superseded(claim, state) is not None

    def _due_checkpoint(self, record: Round) -> CheckpointClaim | None:
        """The claim on the root of our own log, if a checkpoint is due and none is pending."""
        if record.abstained or self._log.alarm() or not (size := self._log.state.size):
            return None
        claim = CheckpointClaim(size, self._log.head(size).root, record.start)
        if self._outbox.newest(ordering_key(claim)) is not None:
            return None
        superseded = kind_of(claim).superseded(claim, self._log.state)
        return None if superseded else claim

    def _not_before(self) -> float:
        """When to send: at once with rank 0, otherwise one round later for each rank."""
        wait = self._rank * self._committee.rounds.seconds
        return self._runtime.wall() + wait if wait else 0.0

    # Suspicions

    def suspect(self, suspicion: Suspicion, signature: bytes) -> bool:
        """Accept an operator's suspicion: see `SuspicionIntake.take`."""
        return self._suspicions.take(suspicion, signature)

    def _newest_record(self) -> Round | None:
        return self.recent[-1] if self.recent else None
