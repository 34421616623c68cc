"""Lanes: threads for each kind of request, so that one kind cannot take the threads of another.

A lane has a fixed number of threads and a bounded queue. Requests that wait are served in turns,
one for each address, so a client that sends many requests delays its own. All methods run on the
event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MAX_WAITING_REQUESTS: Final = 256  # requests that wait for a thread of one lane
HEALTH_THREADS: Final = 2  # threads that answer only `/healthz` and `/readyz`


@dataclass(frozen=True, slots=True)
class Lane:
    """Threads for the requests whose path is one of `paths`, or lies below one of them.

    `max_body`: the limit of their bodies in bytes, if it is above that of the app; otherwise 0.
    """

    name: str
    threads: int
    paths: tuple[str, ...] = ()  # for example "/status"; empty for all other requests
    max_body: int = 0

    def takes(self, path: str) -> bool:
        return any(path == own or path.startswith(f"{own}/") for own in self.paths)


HEALTH: Final = Lane("health", HEALTH_THREADS, ("/healthz", "/readyz"))


@dataclass(eq=False, slots=True)
class Job(Generic[T]):
    """Work for a thread of a lane.

    Args:
        turn: jobs with the same value, such as a client's address, wait for each other.
        work: is called on the thread.
        done: is called on the event loop's thread with the finished work.
        refused: is called on the event loop's thread if the queue is full.
    """

    turn: str
    work: Callable[[], T]
    done: Callable[[asyncio.Future[T]], None]
    refused: Callable[[], None] = field(default=lambda: None)


class LaneQueue:
    """The threads and the waiting requests of one lane."""

    def __init__(self, lane: Lane, max_waiting: int = MAX_WAITING_REQUESTS) -> None:
        self.lane = lane
        self._max_waiting = max_waiting
        self._pool = ThreadPoolExecutor(lane.threads, thread_name_prefix=lane.name)
        self._waiting: dict[str, deque[Job[object]]] = {}  # by turn; the next one comes first
        self._count = 0
        self._running = 0

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a thread."""
        return self._count

    def submit(self, job: Job[object]) -> None:
        """Run the job on a thread, now or in its turn.

        If the queue is full, the newest job is refused of those that wait for each other most. If
        several turns have equally many, it is that of the last turn.
        """
        self._waiting.setdefault(job.turn, deque()).append(job)
        self._count += 1
        self._start()
        if self._count > self._max_waiting:
            greediest = max(reversed(self._waiting.values()), key=len)
            refused = greediest[-1]
            self.cancel(refused)
            refused.refused()

    def cancel(self, job: Job[object]) -> bool:
        """Forget a job that has not started. Return False if it has."""
        waiting = self._waiting.get(job.turn, ())
        if job not in waiting:
            return False
        self._waiting[job.turn].remove(job)
        self._count -= 1
        if not self._waiting[job.turn]:
            del self._waiting[job.turn]
        return True

    def _start(self) -> None:
        while self._waiting and self._running < self.lane.threads:
            job = self._next()
            self._running += 1
            future = asyncio.get_running_loop().run_in_executor(self._pool, job.work)
            future.add_done_callback(self._finished)
            future.add_done_callback(job.done)

    def _next(self) -> Job[object]:
        """Take the first job of the next turn; the others of this turn go to the end."""
        turn = next(iter(self._waiting))
        jobs = self._waiting.pop(turn)
        job = jobs.popleft()
        if jobs:
            self._waiting[turn] = jobs
        self._count -= 1
        return job

    def _finished(self, _future: object) -> None:
        self._running -= 1
        self._start()


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
