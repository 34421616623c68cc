"""Asking the operators: what each finds a window to be, and whether a quorum finds the same."""

from __future__ import annotations

import queue
import threading
from collections import Counter as Tally
from concurrent.futures import Executor
from typing import Final

import structlog
from prometheus_client import Counter

from dragon.errors import AttestationRefused, PeerError
from dragon.net.operator_client import OperatorClient, WindowVote
from dragon.net.runtime import Runtime
from dragon.protocol.claims.window import InvalidReason, Verdict, WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.streams.submission import Submission

AT_ONCE: Final = 8  # requests under way to one operator
MOST_TOLD: Final = 64  # announcements on their way to one operator; more are left out
VOTE_SECONDS: Final = 5.0  # for the operators to fetch, verify and answer
ASK_AGAIN: Final = 0.2  # seconds after which an operator that is busy is asked again
NO_ANSWER: Final = ("no answer yet", "")

Votes = dict[str, tuple[str, str]]  # of each operator the last answer and its detail, for people

logger = structlog.stdlib.get_logger(__name__)


class VoteCollector:
    """Owns the threads that ask, so many for each operator."""

    def __init__(self, committee: Committee, runtime: Runtime) -> None:
        self._committee = committee
        self._runtime = runtime
        operators = list(committee.keys)
        self._telling = {each: threading.BoundedSemaphore(MOST_TOLD) for each in operators}
        self._pools: dict[str, Executor] = {each: runtime.workers(AT_ONCE) for each in operators}
        self.answered = Counter(
            "datadragon_vote_answers",
            "What each operator said to a window.",
            ["operator", "answer"],
            registry=None,
        )

    def announce(self, submission: Submission) -> None:
        """Tell every operator; who does not hear it learns of the window with its proof."""
        for operator, pool in self._pools.items():
            if self._telling[operator].acquire(blocking=False):
                client = OperatorClient(self._committee, operator, self._runtime.http)
                pool.submit(_tell, client, submission, self._telling[operator])

    def empty(self) -> Votes:
        """Before anybody has said anything. Of one size, so that it can be read meanwhile."""
        return dict.fromkeys(self._pools, NO_ANSWER)

    def collect(self, submission: Submission, votes: Votes) -> InvalidReason | None:
        """Ask every operator; the finding of a quorum, as soon as there is one. Each answer goes
        into `votes`, also those that come later."""
        ends = self._runtime.monotonic() + VOTE_SECONDS
        needed = self._committee.quorum(WindowClaim.KIND)
        arrived: queue.SimpleQueue[WindowVote | None] = queue.SimpleQueue()
        for operator, pool in self._pools.items():
            client = OperatorClient(self._committee, operator, self._runtime.http)
            pool.submit(self._ask, client, submission, votes, ends, arrived)
        tally: Tally[InvalidReason] = Tally()
        for outstanding in reversed(range(len(self._pools))):
            try:
                vote = arrived.get(timeout=max(0.0, ends - self._runtime.monotonic()))
            except queue.Empty:
                break
            if vote is not None:
                tally[vote.reason] += 1
            best = max(tally.values(), default=0)
            if best >= needed:
                return tally.most_common(1)[0][0]
            if best + outstanding < needed:
                break
        return None

    def _ask(
        self,
        client: OperatorClient,
        submission: Submission,
        votes: Votes,
        ends: float,
        arrived: queue.SimpleQueue[WindowVote | None],
    ) -> None:
        """Runs on a thread of the operator's pool. Always puts one answer."""
        vote: WindowVote | None = None
        try:
            vote, answer, detail = self._vote(client, submission, ends)
            votes[client.operator] = answer, detail
            self.answered.labels(client.operator, answer).inc()
        finally:
            arrived.put(vote)

    def _vote(
        self, client: OperatorClient, submission: Submission, ends: float
    ) -> tuple[WindowVote | None, str, str]:
        """The vote, and in words what was answered, and why."""
        while True:
            left = ends - self._runtime.monotonic()
            try:
                vote = client.request_vote(submission, deadline=max(0.05, left))
            except AttestationRefused as error:
                if error.reason == "busy" and left > 2 * ASK_AGAIN:
                    self._runtime.sleep(ASK_AGAIN)
                    continue
                return None, error.reason, str(error)
            except PeerError as error:
                return None, str(error.facts.get("reason", error.name)), str(error)
            if vote is None:
                return None, "announced", ""
            valid = vote.verdict is Verdict.VALID
            return vote, str(vote.verdict) if valid else f"invalid: {vote.reason}", vote.detail

    def close(self) -> None:
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)


def _tell(client: OperatorClient, submission: Submission, told: threading.Semaphore) -> None:
    try:
        client.request_vote(submission, deadline=VOTE_SECONDS)
    except (AttestationRefused, PeerError) as error:
        logger.debug("announcement_failed", operator=client.operator, reason=error.name)
    finally:
        told.release()
