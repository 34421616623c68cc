"""Collects the operators' votes on a window, until a quorum gives the same verdict."""

from __future__ import annotations

import queue
import threading
from collections import Counter as Tally
from concurrent.futures import Executor
from typing import Final

import structlog
from prometheus_client import Counter

from dragon.errors import AttestationRefused, PeerError
from dragon.net.operator_client import OperatorClient
from dragon.net.runtime import Runtime
from dragon.protocol.claims.window import InvalidReason, WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.submission import Submission

MAX_CONCURRENT_REQUESTS: Final = 8  # to one operator
MAX_PENDING_ANNOUNCEMENTS: Final = 64  # to one operator; further ones are dropped
VOTE_TIMEOUT_SECONDS: Final = 5.0  # for all operators to fetch objects, verify and answer
BUSY_RETRY_SECONDS: Final = 0.2  # before a busy operator is asked again
NO_ANSWER: Final = ("no answer yet", "")

Votes = dict[str, tuple[str, str]]  # last answer and its detail by operator, for display only

logger = structlog.stdlib.get_logger(__name__)


class VoteCollector:
    """Requests votes. Has a small thread pool for each operator."""

    def __init__(self, committee: Committee, runtime: Runtime) -> None:
        self._committee = committee
        self._runtime = runtime
        self._pools: dict[str, Executor] = {
            operator: runtime.workers(MAX_CONCURRENT_REQUESTS) for operator in committee.keys
        }
        self._announcements = {
            operator: threading.BoundedSemaphore(MAX_PENDING_ANNOUNCEMENTS)
            for operator in committee.keys
        }
        self.answered = Counter(
            "datadragon_vote_answers",
            "Answers to vote requests, by operator and answer.",
            ["operator", "answer"],
            registry=None,
        )

    def announce(self, submission: Submission) -> None:
        """Announce a window to every operator, without waiting.

        Failures do not matter: the vote request carries the header again.
        """
        for operator, pool in self._pools.items():
            slots = self._announcements[operator]
            if slots.acquire(blocking=False):
                pool.submit(_announce, self._client(operator), submission, slots)

    def empty(self) -> Votes:
        """A table without answers. Its size is fixed, so others can read it while it is filled."""
        return dict.fromkeys(self._pools, NO_ANSWER)

    def collect(self, submission: Submission, votes: Votes) -> Finding | None:
        """Request every operator's vote. Return the finding of a quorum, or None without one.

        Every answer is entered into `votes`, even one that arrives after this returns.
        """
        ends = self._runtime.monotonic() + VOTE_TIMEOUT_SECONDS
        arrived: queue.SimpleQueue[Finding | None] = queue.SimpleQueue()
        for operator, pool in self._pools.items():
            pool.submit(self._ask, self._client(operator), submission, votes, ends, arrived)
        return self._quorum(arrived, ends)

    def close(self) -> None:
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _quorum(self, arrived: queue.SimpleQueue[Finding | None], ends: float) -> Finding | None:
        """The finding that a quorum shares, as soon as one does or none can any more."""
        needed = self._committee.quorum(WindowClaim.KIND)
        tally: Tally[InvalidReason] = Tally()
        for outstanding in reversed(range(len(self._pools))):
            try:
                finding = arrived.get(timeout=max(0.0, ends - self._runtime.monotonic()))
            except queue.Empty:
                return None
            if finding is not None:
                tally[finding.reason] += 1
            best = max(tally.values(), default=0)
            if best >= needed:
                return Finding(tally.most_common(1)[0][0])
            if best + outstanding < needed:
                return None
        return None

    def _ask(
        self,
        client: OperatorClient,
        submission: Submission,
        votes: Votes,
        ends: float,
        arrived: queue.SimpleQueue[Finding | None],
    ) -> None:
        """Put exactly one answer into `arrived`. Runs on a thread of the operator's pool."""
        finding: Finding | None = None
        try:
            finding, answer, detail = self._vote(client, submission, ends)
            votes[client.operator] = answer, detail
            self.answered.labels(client.operator, answer).inc()
        finally:
            arrived.put(finding)

    def _vote(
        self, client: OperatorClient, submission: Submission, ends: float
    ) -> tuple[Finding | None, str, str]:
        """The finding if there is one, the answer as a word, and its detail."""
        while True:
            left = ends - self._runtime.monotonic()
            try:
                finding = client.request_vote(submission, deadline=max(0.05, left))
            except AttestationRefused as error:
                if error.reason == RefusalReason.BUSY and left > 2 * BUSY_RETRY_SECONDS:
                    self._runtime.sleep(BUSY_RETRY_SECONDS)
                    continue
                return None, error.reason, str(error)
            except PeerError as error:
                return None, str(error.facts.get("reason", error.name)), str(error)
            if finding is None:
                return None, "announced", ""
            answer = "valid" if finding.is_valid else f"invalid: {finding.reason}"
            return finding, answer, finding.detail

    def _client(self, operator: str) -> OperatorClient:
        return OperatorClient(self._committee, operator, self._runtime.http)


def _announce(client: OperatorClient, submission: Submission, slots: threading.Semaphore) -> None:
    try:
        client.request_vote(submission, deadline=VOTE_TIMEOUT_SECONDS)
    except (AttestationRefused, PeerError) as error:
        logger.debug("announcement_failed", operator=client.operator, reason=error.name)
    finally:
        slots.release()
