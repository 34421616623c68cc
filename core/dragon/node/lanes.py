"""Lanes: threads for each kind of request, so that one kind cannot take the threads of another.

A lane has a fixed number of threads and two bounded queues: one for members of the committee and
known clients, one for all others. Strangers can take neither the places of the members' queue nor
the last quarter of the threads. In each queue the addresses take turns, so a client that sends many
requests delays its own. All methods run on the event loop's thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from dragon.node.lane_threads import Finished, LaneThreads

T = TypeVar("T")

MAX_WAITING_REQUESTS: Final = 256  # of strangers, for a thread of one lane; as many of members
MEMBERS_PART: Final = 4  # one thread of this number, and at least one, never serves strangers
HEALTH_THREADS: Final = 3  # threads that answer only `/healthz` and `/readyz`


@dataclass(frozen=True, slots=True)
class Lane:
    """Threads for the requests whose path is one of `paths`, or lies below one of them.

    `max_body`: the limit of their bodies in bytes, if it is above that of the app; otherwise 0.
    """

    name: str
    threads: int
    paths: tuple[str, ...] = ()  # for example "/status"; empty for all other requests
    max_body: int = 0

    @property
    def threads_for_strangers(self) -> int:
        """Their number; a single thread serves everybody."""
        return max(1, self.threads - max(1, self.threads // MEMBERS_PART))

    def takes(self, path: str) -> bool:
        return any(path == own or path.startswith(f"{own}/") for own in self.paths)


HEALTH: Final = Lane("health", HEALTH_THREADS, ("/healthz", "/readyz"))


@dataclass(eq=False, slots=True)
class Job(Generic[T]):
    """Work for a thread of a lane.

    Args:
        turn: jobs with the same value, such as a client's address, wait for each other.
        is_member: whether the client is a member of the committee, or a known client.
        work: is called on the thread.
        done: is called on the event loop's thread with the finished work.
        refused: is called on the event loop's thread if the queue is full.
    """

    turn: str
    work: Callable[[], T]
    done: Callable[[Finished[T]], None]
    refused: Callable[[], None] = field(default=lambda: None)
    is_member: bool = False


class _Waiting:
    """The waiting jobs of members, or of strangers, by their turns; and how many of them run."""

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self.running = 0
        self._max_running, self._max_waiting = max_running, max_waiting
        self._turns: dict[str, deque[Job[object]]] = {}  # the next one comes first
        self.count = 0

    @property
    def may_start(self) -> bool:
        return bool(self._turns) and self.running < self._max_running

    def add(self, job: Job[object]) -> None:
        self._turns.setdefault(job.turn, deque()).append(job)
        self.count += 1

    def surplus(self) -> Job[object] | None:
        """The job to refuse if too many wait: the newest of the turn with the most, and last."""
        if self.count <= self._max_waiting:
            return None
        return max(reversed(self._turns.values()), key=len)[-1]

    def remove(self, job: Job[object]) -> bool:
        """Forget a job. Return False if it does not wait."""
        jobs = self._turns.get(job.turn, ())
        if job not in jobs:
            return False
        self._turns[job.turn].remove(job)
        self.count -= 1
        if not self._turns[job.turn]:
            del self._turns[job.turn]
        return True

    def take(self) -> Job[object]:
        """Take the first job of the next turn; the others of this turn go to the end."""
        turn = next(iter(self._turns))
        jobs = self._turns.pop(turn)
        job = jobs.popleft()
        if jobs:
            self._turns[turn] = jobs
        self.count -= 1
        return job


class LaneQueue:
    """The threads and the waiting requests of one lane."""

    def __init__(self, lane: Lane, max_waiting: int = MAX_WAITING_REQUESTS) -> None:
        """`max_waiting`: requests of members that wait, and as many of strangers."""
        self.lane = lane
        self._threads = LaneThreads(lane.threads, lane.name)
        self._members = _Waiting(lane.threads, max_waiting)
        self._strangers = _Waiting(lane.threads_for_strangers, max_waiting)

    @property
    def running(self) -> int:
        """Number of threads in use."""
        return self._members.running + self._strangers.running

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a thread."""
        return self._members.count + self._strangers.count

    def submit(self, job: Job[object]) -> None:
        """Run the job on a thread, now or in its turn.

        If its queue is full, the newest job is refused of those that wait for each other most. If
        several turns have equally many, it is that of the last turn.
        """
        waiting = self._of(job)
        waiting.add(job)
        self._start()
        if refused := waiting.surplus():
            waiting.remove(refused)
            refused.refused()

    def cancel(self, job: Job[object]) -> bool:
        """Forget a job that has not started. Return False if it has."""
        return self._of(job).remove(job)

    def _of(self, job: Job[object]) -> _Waiting:
        return self._members if job.is_member else self._strangers

    def _start(self) -> None:
        """Start jobs on the free threads, first of those who have fewer of them in use."""
        while self.running < self.lane.threads:
            ready = [each for each in (self._members, self._strangers) if each.may_start]
            if not ready:
                return
            self._run(min(ready, key=lambda each: each.running))

    def _run(self, waiting: _Waiting) -> None:
        def finished(outcome: Finished[object]) -> None:
            waiting.running -= 1
            self._start()
            job.done(outcome)

        job = waiting.take()
        waiting.running += 1
        self._threads.submit(job.work, finished, running=self.running)


class Lanes:
    """All lanes of a service. The first one that takes a path serves it."""

    def __init__(self, lanes: Sequence[Lane], others: int) -> None:
        """Args: `others`, the number of threads for paths that no lane takes."""
        self._queues = [LaneQueue(lane) for lane in (*lanes, HEALTH)]
        self._others = LaneQueue(Lane("others", others))

    def waiting(self) -> dict[str, int]:
        """The number of waiting requests by the name of the lane, for metrics."""
        return {each.lane.name: each.waiting for each in (*self._queues, self._others)}

    def of(self, path: str) -> LaneQueue:
        return next((each for each in self._queues if each.lane.takes(path)), self._others)
