"""Suspicions: operators' signed notices that a node has changed. Each starts at most one vote."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from dragon.errors import Busy
from dragon.net.operator_keys import KeysOf
from dragon.net.runtime import Runtime
from dragon.protocol.claims.base import Claim
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.committee import Seated
from dragon.protocol.messages import Suspicion
from dragon.protocol.rounds import Rounds
from dragon_aggregator.certifier import AttestationRound
from dragon_aggregator.change_detector import ChangeDetector
from dragon_aggregator.received_suspicions import Outcome, ReceivedSuspicion
from dragon_aggregator.round_record import Round
from dragon_aggregator.suspicion_filter import SuspicionFilter

MAX_CONCURRENT_SUSPICIONS: Final = 64  # beyond, suspicions are `busy`

# Certifies a claim until a monotonic time, and passes on the round of attestations as it begins.
Certify = Callable[[Claim, float, Callable[[AttestationRound], None]], Outcome]


class SuspicionIntake:
    """Accepts suspicions, has the operators asked about them, and records what came of each."""

    def __init__(
        self,
        seated: Seated,
        certify: Certify,
        newest_record: Callable[[], Round | None],
        change_detector: ChangeDetector,
        *,
        keys_of: KeysOf,
        runtime: Runtime,
    ) -> None:
        self._seated = seated
        self._certify = certify
        self._newest_record = newest_record
        self._change_detector = change_detector
        self._runtime = runtime
        self._filter = SuspicionFilter(seated, keys_of)
        self._slots = threading.BoundedSemaphore(MAX_CONCURRENT_SUSPICIONS)
        # Not the threads of the rounds: one operator can send a suspicion of every node.
        self._workers = runtime.workers(MAX_CONCURRENT_SUSPICIONS)

    @property
    def _rounds(self) -> Rounds:
        return self._seated.committee.rounds

    def take(self, suspicion: Suspicion, signature: bytes) -> bool:
        """Accept an operator's suspicion. Return whether the operators are asked about it.

        They are not if the status is certified already, or if the same suspicion came before.

        Raises:
            UnknownSigner, UnknownNode, OffRound, BadSignature: the suspicion is not genuine.
            Busy: too many suspicions are in progress.
        """
        now = self._runtime.wall()
        number = self._rounds.number(now)
        self._filter.check(suspicion, signature, number)
        record = self._record(number, now)
        received, is_kept = record.suspicions.add(suspicion, now)
        if self._is_declined(received):
            return False
        if not self._slots.acquire(blocking=False):
            received.decline(Outcome.BUSY)
            message = f"{MAX_CONCURRENT_SUSPICIONS} suspicions are in progress, the maximum"
            raise Busy(message)
        if not self._filter.is_first(suspicion, number):
            self._slots.release()
            return False
        # What has no record of its suspicion has none of its vote either: both are bounded.
        note = record.attestation_rounds.append if is_kept else _ignore
        self._ask(number, received, note)
        return True

    def close(self) -> None:
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _record(self, number: int, now: float) -> Round:
        """The newest record, also if its round is over; before the first round, one unseen."""
        return self._newest_record() or Round(number, self._rounds.start(number), now)

    def _is_declined(self, received: ReceivedSuspicion) -> bool:
        """Whether the operators need not, or must not, be asked now. Notes why."""
        detector = self._change_detector
        if detector.certified_status(received.node_id) is received.status:
            received.decline(Outcome.NO_CHANGE)
            return True
        if why := detector.why_abstain():
            received.decline(Outcome.ABSTAINED, why)
            return True
        return False

    def _ask(
        self, number: int, received: ReceivedSuspicion, note: Callable[[AttestationRound], None]
    ) -> None:
        """Have the change certified on another thread, which ends with the release of a slot."""
        ends = self._runtime.monotonic() + self._rounds.collect_deadline_seconds
        claim = StatusClaim(received.node_id, received.status, self._rounds.start(number))
        received.outcome, received.detail = Outcome.ASKED, ""

        def certify() -> None:
            received.outcome = self._certify(claim, ends, note)

        try:
            job = self._workers.submit(certify)
        except BaseException:
            self._slots.release()
            raise
        job.add_done_callback(lambda _: self._slots.release())


def _ignore(_: AttestationRound) -> None:
    pass
