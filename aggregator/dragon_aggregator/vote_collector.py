"""Collects the operators' votes on a window, until a quorum gives the same verdict.

An operator answers with its finding, and with its signature on the claim that states the finding in
the round of the request. So one request to each operator is enough for a certificate.

New streams have threads of their own (`KnownStreams`), so their windows never delay a known stream.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from prometheus_client import Counter

from dragon.errors import AttestationRefused, PeerError
from dragon.log.verified_events import VerifiedEvents
from dragon.net.operator_client import Ballot, OperatorClient
from dragon.net.per_member import PerMember
from dragon.net.runtime import Runtime
from dragon.protocol.committee import Committee, Seated
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.submission import Submission, VoteRequest
from dragon.protocol.streams.votes import NO_ANSWER
from dragon_aggregator.ballot_box import Agreement, BallotBox

MAX_CONCURRENT_REQUESTS: Final = 8  # to one operator, about known streams
MAX_CONCURRENT_NEW_REQUESTS: Final = 2  # to one operator, about new streams
MAX_PENDING_ANNOUNCEMENTS: Final = 64  # to one operator; further ones are dropped
MAX_PENDING_NEW_ANNOUNCEMENTS: Final = 16  # of new streams
NEW_ANNOUNCEMENTS_PER_SECOND: Final = 8.0  # of all new streams; further ones are dropped
NEW_ANNOUNCEMENTS_CAPACITY: Final = 64.0  # announcements that new streams may send at once
VOTE_TIMEOUT_SECONDS: Final = 5.0  # for all operators to fetch objects, verify and answer
BUSY_RETRY_SECONDS: Final = 0.2  # before a busy operator is asked again
MAX_BUSY_SECONDS: Final = 1.0  # after which a busy operator is asked again with the next vote
# For further signatures, once a quorum shares a finding that not enough of them have signed.
SIGNATURES_SECONDS: Final = 0.25
NOT_ANSWERED: Final = (NO_ANSWER, "")

Votes = dict[str, tuple[str, str]]  # last answer and its detail by operator, for display only

logger = structlog.stdlib.get_logger(__name__)


_Arrived = tuple[str, Ballot | None]  # an operator, and its finding if it has one


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

    def __init__(
        self,
        seated: Seated,
        runtime: Runtime,
        is_known: Callable[[bytes], bool],
        verified: VerifiedEvents,
    ) -> None:
        """Create a collector.

        Args:
            is_known: whether a stream is known, by its id.
            verified: verifies certificates, and remembers those that are valid.
        """
        self._verified = verified
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

    def collect(self, submission: Submission, votes: Votes, timestamp: int) -> Agreement | None:
        """Request every operator's vote. Return what a quorum agrees on, or None without one.

        Args:
            votes: every answer is entered here, even one that arrives after this returns.
            timestamp: Unix seconds, the start of the round in which the finding shall be signed.
        """
        ends = self._runtime.monotonic() + VOTE_TIMEOUT_SECONDS
        arrived: queue.SimpleQueue[_Arrived] = queue.SimpleQueue()
        lanes = self._lanes(submission.stream)
        committee = self._current()  # of the whole vote: a handover may be applied meanwhile
        request = VoteRequest(submission, timestamp)
        for operator in committee.keys:
            client = self._client(committee, operator)
            lanes.use(
                operator,
                partial(_run_on, partial(self._ask, client, request, votes, ends, arrived)),
            )
        box = BallotBox(submission, timestamp, committee, self._verified)
        self._count(box, len(committee.keys), arrived, ends)
        return box.agreement()

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

    def _count(
        self, box: BallotBox, asked: int, arrived: queue.SimpleQueue[_Arrived], ends: float
    ) -> None:
        """Count ballots until a quorum has signed a finding, or none can any more."""
        for outstanding in reversed(range(asked)):
            try:
                operator, ballot = arrived.get(timeout=max(0.0, ends - self._runtime.monotonic()))
            except queue.Empty:
                return
            if ballot is not None:
                box.add(operator, ballot)
            if box.is_decided(outstanding):
                return
            if box.has_agreement:
                ends = min(ends, self._runtime.monotonic() + SIGNATURES_SECONDS)

    def _ask(
        self,
        client: OperatorClient,
        request: VoteRequest,
        votes: Votes,
        ends: float,
        arrived: queue.SimpleQueue[_Arrived],
    ) -> None:
        """Put exactly one answer into `arrived`. Runs on a thread of the operator's pool."""
        ballot: Ballot | None = None
        try:
            ballot, answer = self._vote(client, request, votes, ends)
            self.answered.labels(client.operator, answer).inc()
        finally:
            arrived.put((client.operator, ballot))

    def _vote(
        self, client: OperatorClient, request: VoteRequest, votes: Votes, ends: float
    ) -> tuple[Ballot | None, str]:
        """The ballot if there is one, and the answer as a word.

        A busy operator is asked again for a while. Its answer is shown in the meantime.
        """
        asked_until = min(ends, self._runtime.monotonic() + MAX_BUSY_SECONDS)
        if not self._is_known(request.submission.stream):
            asked_until = float("-inf")  # a new stream holds none of its few threads to wait
        while True:
            deadline = max(0.05, ends - self._runtime.monotonic())
            ballot, answer, detail = _answer(client, request, deadline)
            votes[client.operator] = answer, detail
            waited = self._runtime.monotonic() + 2 * BUSY_RETRY_SECONDS
            if answer != RefusalReason.BUSY or waited >= asked_until:
                return ballot, answer
            self._runtime.sleep(BUSY_RETRY_SECONDS)

    def _client(self, committee: Committee, operator: str) -> OperatorClient:
        return OperatorClient(committee, operator, self._runtime.http)


def _answer(
    client: OperatorClient, request: VoteRequest, deadline: float
) -> tuple[Ballot | None, str, str]:
    """The ballot if there is one, the answer as a word, and its detail."""
    try:
        ballot = client.request_vote(request, deadline=deadline)
    except AttestationRefused as error:
        return None, error.reason, str(error)
    except PeerError as error:
        return None, str(error.facts.get("reason", error.name)), str(error)
    if ballot is None:
        return None, "announced", ""
    finding = ballot.finding
    answer = "valid" if finding.is_valid else f"invalid: {finding.reason}"
    if ballot.refusal is not None:  # to sign: it matters more than the finding
        return ballot, ballot.refusal.reason, f"its vote before was: {answer}"
    return ballot, answer, finding.detail


def _run_on(ask: Callable[[], None], lane: _Lane) -> None:
    lane.pool.submit(ask)


def _announce_on(client: OperatorClient, submission: Submission, lane: _Lane) -> None:
    """Announce a window on the threads of its operator, if there is a place."""
    if lane.announcements.acquire(blocking=False):
        lane.pool.submit(_announce, client, submission, lane.announcements)


def _announce(client: OperatorClient, submission: Submission, slots: threading.Semaphore) -> None:
    try:
        client.request_vote(VoteRequest(submission), deadline=VOTE_TIMEOUT_SECONDS)
    except (AttestationRefused, PeerError) as error:
        logger.debug("announcement_failed", operator=client.operator, reason=error.name)
    finally:
        slots.release()
