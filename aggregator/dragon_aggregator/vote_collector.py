"""Collects the operators' votes on a window, until a quorum gives the same verdict.

New streams have threads of their own (`KnownStreams`), so their windows never delay a known stream.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter as Tally
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from prometheus_client import Counter

from dragon.errors import AttestationRefused, PeerError
from dragon.net.operator_client import OperatorClient
from dragon.net.per_member import PerMember
from dragon.net.runtime import Runtime
from dragon.protocol.claims.window import InvalidReason, WindowClaim
from dragon.protocol.committee import Committee, Seated
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.submission import Submission
from dragon.protocol.streams.votes import NO_ANSWER

MAX_CONCURRENT_REQUESTS: Final = 8  # to one operator, about known streams
MAX_CONCURRENT_NEW_REQUESTS: Final = 2  # to one operator, about new streams
MAX_PENDING_ANNOUNCEMENTS: Final = 64  # to one operator; further ones are dropped
MAX_PENDING_NEW_ANNOUNCEMENTS: Final = 16  # of new streams
NEW_ANNOUNCEMENTS_PER_SECOND: Final = 8.0  # of all new streams; further ones are dropped
NEW_ANNOUNCEMENTS_CAPACITY: Final = 64.0  # announcements that new streams may send at once
VOTE_TIMEOUT_SECONDS: Final = 5.0  # for all operators to fetch objects, verify and answer
BUSY_RETRY_SECONDS: Final = 0.2  # before a busy operator is asked again
MAX_BUSY_SECONDS: Final = 1.0  # after which a busy operator is asked again with the next vote
NOT_ANSWERED: Final = (NO_ANSWER, "")

Votes = dict[str, tuple[str, str]]  # last answer and its detail by operator, for display only

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Lane:
    """The threads that ask one operator about one class of streams."""

    pool: Executor
    announcements: threading.BoundedSemaphore  # places

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)


def _lanes(runtime: Runtime, *, requests: int, announcements: int) -> PerMember[_Lane]:
    return PerMember(
        lambda _: _Lane(runtime.workers(requests), threading.BoundedSemaphore(announcements)),
        _Lane.close,
    )


class VoteCollector:
    """Requests votes. Has two small thread pools for each operator."""

    def __init__(self, seated: Seated, runtime: Runtime, is_known: Callable[[bytes], bool]) -> None:
        """`is_known`: whether a stream is known, by its id."""
        self._seated = seated
        self._runtime = runtime
        self._is_known = is_known
        self._known = _lanes(
            runtime,
            requests=MAX_CONCURRENT_REQUESTS,
            announcements=MAX_PENDING_ANNOUNCEMENTS,
        )
        self._new = _lanes(
            runtime,
            requests=MAX_CONCURRENT_NEW_REQUESTS,
            announcements=MAX_PENDING_NEW_ANNOUNCEMENTS,
        )
        self._lock = threading.Lock()  # guards the next two lines
        self._tokens = NEW_ANNOUNCEMENTS_CAPACITY
        self._refilled_at = runtime.monotonic()  # monotonic seconds
        self.answered = Counter(
            "datadragon_vote_answers",
            "Answers to vote requests, by operator and answer.",
            ["operator", "answer"],
            registry=None,
        )

    @property
    def _committee(self) -> Committee:
        """The committee that holds now."""
        return self._seated.committee

    def announce(self, submission: Submission) -> None:
        """Announce a window to every operator, without waiting.

        Failures do not matter: the vote request carries the header again.
        """
        lanes = self._lanes(submission.stream)
        if lanes is self._new and not self._may_announce_new():
            return
        committee = self._current()
        for operator in committee.keys:
            lanes.use(
                operator, partial(_announce_on, self._client(committee, operator), submission)
            )

    def _may_announce_new(self) -> bool:
        """Charge an announcement of a new stream. False: there have been too many."""
        with self._lock:
            now = self._runtime.monotonic()
            gained = NEW_ANNOUNCEMENTS_PER_SECOND * (now - self._refilled_at)
            self._tokens = min(NEW_ANNOUNCEMENTS_CAPACITY, self._tokens + gained)
            self._refilled_at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def empty(self) -> Votes:
        """A table without answers. Its size is fixed, so others can read it while it is filled."""
        return dict.fromkeys(self._committee.keys, NOT_ANSWERED)

    def collect(self, submission: Submission, votes: Votes) -> Finding | None:
        """Request every operator's vote. Return the finding of a quorum, or None without one.

        Every answer is entered into `votes`, even one that arrives after this returns.
        """
        ends = self._runtime.monotonic() + VOTE_TIMEOUT_SECONDS
        arrived: queue.SimpleQueue[Finding | None] = queue.SimpleQueue()
        lanes = self._lanes(submission.stream)
        committee = self._current()  # of the whole vote: a handover may be applied meanwhile
        for operator in committee.keys:
            ask = partial(
                self._ask, self._client(committee, operator), submission, votes, ends, arrived
            )
            lanes.use(operator, partial(_run_on, ask))
        return self._quorum(committee, arrived, ends)

    def close(self) -> None:
        self._known.close()
        self._new.close()

    def _current(self) -> Committee:
        """The committee that votes now. Ends the threads of operators that have left."""
        committee = self._committee
        for lanes in (self._known, self._new):
            lanes.keep(committee.keys)
        return committee

    def _lanes(self, stream: bytes) -> PerMember[_Lane]:
        return self._known if self._is_known(stream) else self._new

    def _quorum(
        self, committee: Committee, arrived: queue.SimpleQueue[Finding | None], ends: float
    ) -> Finding | None:
        """The finding that a quorum shares, as soon as one does or none can any more."""
        needed = committee.quorum(WindowClaim.KIND)
        tally: Tally[InvalidReason] = Tally()
        for outstanding in reversed(range(len(committee.keys))):
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
            finding, answer = self._vote(client, submission, votes, ends)
            self.answered.labels(client.operator, answer).inc()
        finally:
            arrived.put(finding)

    def _vote(
        self, client: OperatorClient, submission: Submission, votes: Votes, ends: float
    ) -> tuple[Finding | None, str]:
        """The finding if there is one, and the answer as a word.

        A busy operator is asked again for a while. Its answer is shown in the meantime.
        """
        asked_until = min(ends, self._runtime.monotonic() + MAX_BUSY_SECONDS)
        if not self._is_known(submission.stream):
            asked_until = float("-inf")  # a new stream holds none of its few threads to wait
        while True:
            deadline = max(0.05, ends - self._runtime.monotonic())
            finding, answer, detail = _answer(client, submission, deadline)
            votes[client.operator] = answer, detail
            waited = self._runtime.monotonic() + 2 * BUSY_RETRY_SECONDS
            if answer != RefusalReason.BUSY or waited >= asked_until:
                return finding, answer
            self._runtime.sleep(BUSY_RETRY_SECONDS)

    def _client(self, committee: Committee, operator: str) -> OperatorClient:
        return OperatorClient(committee, operator, self._runtime.http)


def _answer(
    client: OperatorClient, submission: Submission, deadline: float
) -> tuple[Finding | None, str, str]:
    """The finding if there is one, the answer as a word, and its detail."""
    try:
        finding = client.request_vote(submission, deadline=deadline)
    except AttestationRefused as error:
        return None, error.reason, str(error)
    except PeerError as error:
        return None, str(error.facts.get("reason", error.name)), str(error)
    if finding is None:
        return None, "announced", ""
    answer = "valid" if finding.is_valid else f"invalid: {finding.reason}"
    return finding, answer, finding.detail


def _run_on(ask: Callable[[], None], lane: _Lane) -> None:
    lane.pool.submit(ask)


def _announce_on(client: OperatorClient, submission: Submission, lane: _Lane) -> None:
    """Announce a window on the threads of its operator, if there is a place."""
    if lane.announcements.acquire(blocking=False):
        lane.pool.submit(_announce, client, submission, lane.announcements)


def _announce(client: OperatorClient, submission: Submission, slots: threading.Semaphore) -> None:
    try:
        client.request_vote(submission, deadline=VOTE_TIMEOUT_SECONDS)
    except (AttestationRefused, PeerError) as error:
        logger.debug("announcement_failed", operator=client.operator, reason=error.name)
    finally:
        slots.release()
