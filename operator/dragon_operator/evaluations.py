"""Evaluations of claims: one for each claim at a time, whose outcome all requests for it share.

Anyone may request a signature on any claim, and an aggregator cannot prove who it is. Only its
address tells it from strangers. What a stranger can occupy is bounded:

* A claim that is not valid now (unknown node, another round, nothing new) is refused before it
  gets here. Only the remaining claims are evaluated, and each only once at a time.
* A node has few such claims: one for each status and each round of the signing span
  (`most_claims`). The evaluations of status claims have a place for each of them. The claims about
  one node share its probe.
* Members of the committee, and known clients, have threads, places and waiting requests of their
  own. If a stranger has requested the same claim and it waits for a thread, it moves to those of
  the members. So a claim of an aggregator waits for none of a stranger, however many nodes hang.
* Each kind of claim has its own threads and places (`Capacity`). Of checkpoints and windows there
  are few valid claims as well, and their signatures are kept, so that each costs its evaluation
  once. Only downtime can be claimed of any interval, by anyone for anyone: those claims delay each
  other and nothing else. A report on all nodes takes the processor for longer: one is evaluated at
  a time, and those for strangers use a tenth of the time (`strangers_rest`).
* An evaluation runs on its own thread and goes on without its requester. Few requests wait for it;
  all others are told `busy` at once, and their next request finds the outcome. So a node that hangs
  cannot occupy the threads of the server, and a stranger who requests the aggregator's claim first
  only saves it time.

A signature answers later requests for the same claim. A refusal that rests on a probe answers
requests that came before the probe was older than the pause before a second probe: within that
time, an aggregator cannot have found twice that the node has changed.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Final

from dragon.errors import AttestationRefused
from dragon.net.runtime import Runtime
from dragon.protocol.committee import Committee
from dragon.protocol.refusal import RefusalReason

MAX_WAITING_PER_CLAIM: Final = 4  # requests that wait for one evaluation; beyond, they are `busy`
MAX_OUTCOMES_KEPT: Final = 1024  # of each kind of claim
OUTCOME_TTL_SECONDS: Final = 60.0  # how long signatures and final refusals answer more requests
# Refusals that the same claim gets again at any later time.
FINAL_REASONS: Final = frozenset({RefusalReason.MALFORMED, RefusalReason.EQUIVOCATION})
STATUSES: Final = 2  # up and down


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the evaluations of one kind of claim may occupy.

    Strangers and members may occupy as many places each, and requests that wait.
    """

    strangers: int  # evaluations for strangers at a time; each has a thread
    members: int  # evaluations for members at a time, besides those
    pending: int  # evaluations that run or wait for a thread; beyond, other claims are `busy`
    waiting: int  # requests that wait for an outcome; beyond, they are `busy`
    strangers_rest: float = 0.0  # seconds of pause after each second of an evaluation for strangers


# Together, at most 40 requests of strangers wait. A server needs more threads than that for them.
STATUS_REQUESTS_WAITING: Final = 16
STATUS_THREADS_FOR_STRANGERS: Final = 16  # more than the claims about one node that hangs
STATUS_THREADS_FOR_MEMBERS: Final = 32  # as many claims as an aggregator sends to an operator
CHECKPOINT_CAPACITY: Final = Capacity(strangers=2, members=2, pending=16, waiting=8)
HANDOVER_CAPACITY: Final = Capacity(strangers=1, members=2, pending=8, waiting=8)
DOWNTIME_CAPACITY: Final = Capacity(strangers=2, members=2, pending=8, waiting=8)
PERIOD_CAPACITY: Final = Capacity(strangers=1, members=1, pending=1, waiting=4, strangers_rest=9.0)
WINDOW_CAPACITY: Final = Capacity(strangers=4, members=4, pending=32, waiting=8)


def most_claims(committee: Committee) -> int:
    """Return how many different status claims about one node can be signed at a time."""
    return STATUSES * committee.rounds.most_in_signing_span


def status_capacity(committee: Committee) -> Capacity:
    """Return a capacity with a place for every status claim that can be valid now.

    Its threads are bounded whatever the number of nodes, of which many may hang at once.
    """
    return Capacity(
        strangers=STATUS_THREADS_FOR_STRANGERS,
        members=STATUS_THREADS_FOR_MEMBERS,
        pending=most_claims(committee) * len(committee.urls),
        waiting=STATUS_REQUESTS_WAITING,
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an evaluation: a signature, or a refusal."""

    signature: bytes | None = None
    refusal: tuple[RefusalReason, str] | None = None
    # Monotonic seconds until which the observation counts; None if the refusal rests on none.
    counts_until: float | None = None

    def answers(self, requested_at: float) -> bool:
        """Whether a request that came at that time (monotonic) gets this outcome."""
        return self.counts_until is None or requested_at <= self.counts_until

    def result(self) -> bytes:
        """Return the signature. Raises AttestationRefused."""
        if self.signature is None:
            reason, message = self.refusal or (RefusalReason.BUSY, "")
            raise AttestationRefused(reason, message)
        return self.signature


@dataclass(frozen=True, slots=True)
class _Evaluation:
    begun_at: float  # monotonic seconds
    is_member: bool
    result: Future[Outcome]


class Evaluations:
    """The evaluations of one kind of claim."""

    def __init__(
        self,
        capacity: Callable[[], Capacity],
        max_wait: Callable[[], float],
        runtime: Runtime,
    ) -> None:
        """Create the evaluations of one kind.

        Args:
            capacity: returns what they may occupy; a handover may change the places, and not the
                threads.
            max_wait: returns the seconds for which a request waits; the aggregators wait no longer.
        """
        self._read_capacity = capacity
        self._read_max_wait = max_wait
        self._monotonic = runtime.monotonic
        threads = capacity()
        self._executors = {
            False: runtime.workers(threads.strangers),
            True: runtime.workers(threads.members),
        }  # by `is_member`
        # Guards the following. Reentrant: an executor may evaluate within `submit`.
        self._lock = threading.RLock()
        self._pending: dict[bytes, _Evaluation] = {}
        self._waiting: dict[bool, Counter[bytes]] = {False: Counter(), True: Counter()}
        self._kept: OrderedDict[bytes, tuple[float, Outcome]] = OrderedDict()  # with their ends
        self._strangers_rest_until = 0.0  # monotonic seconds

    @property
    def _capacity(self) -> Capacity:
        return self._read_capacity()

    @property
    def pending(self) -> int:
        """Number of evaluations that run or wait for a thread."""
        return len(self._pending)

    @property
    def kept(self) -> int:
        """Number of outcomes that answer further requests."""
        return len(self._kept)

    def waiting(self, root: bytes) -> int:
        """Number of requests that wait for the evaluation of a claim."""
        return sum(waiting[root] for waiting in self._waiting.values())

    def signature(
        self, root: bytes, evaluate: Callable[[], Outcome], *, is_member: bool = False
    ) -> bytes:
        """Return the signature on a claim.

        Args:
            root: the root of the claim.
            evaluate: may raise AttestationRefused. It is called on another thread, unless an
                evaluation of the claim is in progress or its outcome is known.
            is_member: whether the requester may use the capacity of members.

        Raises AttestationRefused: the claim is refused, or `busy`.
        """
        requested_at = self._monotonic()
        while True:
            found = self._begin(root, evaluate, is_member=is_member)
            if isinstance(found, Outcome):
                return found.result()
            try:
                outcome = self._wait(root, found.result, is_member=is_member)
            except CancelledError:
                continue  # it has moved to the threads of members
            # A request that joined late does not get a refusal that rests on an older observation.
            # An evaluation that began later than the request saw all that there was to see.
            if found.begun_at >= requested_at or outcome.answers(requested_at):
                return outcome.result()

    def _begin(
        self, root: bytes, evaluate: Callable[[], Outcome], *, is_member: bool
    ) -> Outcome | _Evaluation:
        """Return the outcome if it is known, else the evaluation: that in progress or a new one."""
        with self._lock:
            until, kept = self._kept.get(root, (0.0, None))
            if kept is not None and self._monotonic() <= until:
                return kept
            pending = self._pending.get(root)
            is_full = self._count_pending(is_member=is_member) >= self._capacity.pending
            if pending is not None and (is_full or not _moves(pending, is_member=is_member)):
                return pending
            if is_full:
                raise _busy(f"{self._capacity.pending} claims of this kind are being evaluated")
            if not is_member and self._monotonic() < self._strangers_rest_until:
                message = "claims of strangers of this kind are evaluated with pauses; try again"
                raise AttestationRefused(RefusalReason.BUSY, message)
            return self._submit(root, evaluate, is_member=is_member)

    def _count_pending(self, *, is_member: bool) -> int:
        return sum(each.is_member is is_member for each in self._pending.values())

    def _submit(
        self, root: bytes, evaluate: Callable[[], Outcome], *, is_member: bool
    ) -> _Evaluation:
        begun_at = self._monotonic()
        result = self._executors[is_member].submit(_run, evaluate)
        begun = self._pending[root] = _Evaluation(begun_at, is_member, result)
        result.add_done_callback(lambda ended: self._end(root, ended))
        return begun

    def _wait(self, root: bytes, evaluation: Future[Outcome], *, is_member: bool) -> Outcome:
        waiting = self._waiting[is_member]
        with self._lock:
            if waiting[root] >= MAX_WAITING_PER_CLAIM:
                raise _busy(f"{MAX_WAITING_PER_CLAIM} requests wait for the result of this claim")
            if waiting.total() >= self._capacity.waiting:
                raise _busy(f"{self._capacity.waiting} requests wait for claims of this kind")
            waiting[root] += 1
        longest = self._read_max_wait()
        try:
            return evaluation.result(timeout=longest)
        except FutureTimeout:
            raise _busy(f"the evaluation takes longer than {longest:g} s") from None
        finally:
            with self._lock:
                waiting[root] -= 1
                if not waiting[root]:
                    del waiting[root]

    def _end(self, root: bytes, ended: Future[Outcome]) -> None:
        with self._lock:
            evaluation = self._pending.pop(root, None)
            if ended.cancelled():
                return
            if evaluation is not None and not evaluation.is_member:
                now = self._monotonic()
                rest = self._capacity.strangers_rest * (now - evaluation.begun_at)
                self._strangers_rest_until = now + rest
            if ended.exception() is not None:
                return
            outcome = ended.result(timeout=None)
            until = self._keep_until(outcome)
            if until > self._monotonic():
                self._kept[root] = until, outcome
                self._kept.move_to_end(root)
                if len(self._kept) > MAX_OUTCOMES_KEPT:
                    self._kept.popitem(last=False)

    def _keep_until(self, outcome: Outcome) -> float:
        if outcome.counts_until is not None:
            return outcome.counts_until
        if outcome.refusal is None or outcome.refusal[0] in FINAL_REASONS:
            return self._monotonic() + OUTCOME_TTL_SECONDS
        return 0.0


def _moves(pending: _Evaluation, *, is_member: bool) -> bool:
    """Whether an evaluation for a stranger was cancelled, because a member requests the claim.

    One that runs already is not cancelled.
    """
    return is_member and not pending.is_member and pending.result.cancel()


def _run(evaluate: Callable[[], Outcome]) -> Outcome:
    try:
        return evaluate()
    except AttestationRefused as refused:
        return Outcome(refusal=(RefusalReason(refused.reason), str(refused)))


def _busy(message: str) -> AttestationRefused:
    return AttestationRefused(RefusalReason.BUSY, f"{message}, the maximum; try again")
