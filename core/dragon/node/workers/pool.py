"""A pool of worker processes with a bounded queue.

Each worker runs one job at a time. A bounded number of jobs waits; further jobs are refused with
Busy. A job that overruns its deadline, or that its client does not wait for, is cancelled: the
worker stops after the stage that it computes, and takes the next job. A worker that dies, or does
not stop, is replaced, and only its own job fails. So is one whose jobs have no stages, at once.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, TypeAlias

from dragon import errors
from dragon.node.log_format import get_logger
from dragon.node.workers.worker import GONE_CHECK_SECONDS, IsGone, JobT, ResultT, Worker, gone

# A job starts with at least this much time left, or with half of its deadline if that is less.
MIN_START_SECONDS: Final = 1.0
FIRST_RETRY_SECONDS: Final = 0.5  # after a worker failed to start; doubled after each failure
MAX_RETRY_SECONDS: Final = 30.0

# For a worker to stop after its job was cancelled: longer than the longest stage of a proof.
CANCEL_SECONDS: Final = 5.0

logger = get_logger(__name__)


class _Slot(Generic[JobT, ResultT]):
    """The place of one worker in the pool. `changed` is set when its thread has something to do."""

    def __init__(self) -> None:
        self.worker: Worker[JobT, ResultT] | None = None
        self.is_started = False  # the worker, which has then reported that it is ready
        self.must_cancel = False  # the job of the worker
        self.changed = threading.Event()


_Taken: TypeAlias = tuple[_Slot[JobT, ResultT], Worker[JobT, ResultT]]  # with its worker


class Pool(Generic[JobT, ResultT]):
    """`size` workers, started in the background, and at most `waiting` jobs that wait for one.

    The first worker starts alone. So kernels are compiled once, and it is ready sooner.
    Each slot keeps one thread for the whole life of the pool. When the system is too short of
    resources to start a process, it could not start a thread that tries again later either.

    Args:
        size: the number of workers.
        waiting: the number of jobs that may wait.
        make: makes a worker.
        monotonic: returns seconds.
        job_errors: these errors say that the job is wrong; the worker that reported them stays.
        can_cancel: whether workers stop after a stage of their job. One that cannot is replaced as
            soon as its job overruns, so that the job holds no worker after `do` has returned.
        later_seconds: from the start of the first worker until the others start, unless a job waits
            for a worker before that. So the processors are free for services that still start.
    """

    def __init__(
        self,
        size: int,
        waiting: int,
        make: Callable[[], Worker[JobT, ResultT]],
        monotonic: Callable[[], float] = time.monotonic,
        *,
        job_errors: tuple[type[Exception], ...] = (),
        can_cancel: bool = True,
        later_seconds: float = 0.0,
    ) -> None:
        self._make = make
        self._can_cancel = can_cancel
        self._job_errors = job_errors
        self._monotonic = monotonic
        self._idle: queue.Queue[_Slot[JobT, ResultT]] = queue.Queue()
        self._admitted = threading.BoundedSemaphore(size + waiting)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self.size, self.max_waiting = size, waiting
        self.replaced_workers = 0
        self._waiting = 0
        self.startup_status = "workers are starting"  # of the first worker; empty when it is ready
        self._slots = [_Slot[JobT, ResultT]() for _ in range(size)]
        # The first worker compiles the kernels, if it must; the others then read them.
        self._can_start = threading.Event()
        self._later_seconds = later_seconds
        self._are_needed = threading.Event()  # the other workers, because a job waits
        for slot in self._slots:
            threading.Thread(
                target=self._maintain, args=(slot,), name="worker", daemon=True
            ).start()

    @property
    def started_workers(self) -> int:
        """The number of workers that have started and are not being replaced."""
        return sum(slot.is_started for slot in self._slots)

    @property
    def busy_workers(self) -> int:
        """The number of workers that are not idle. Workers that are still starting count."""
        return self.size - self._idle.qsize()

    @property
    def waiting_jobs(self) -> int:
        """The number of jobs that wait for a worker."""
        return self._waiting

    def do(
        self,
        job: JobT,
        seconds: float,
        is_gone: IsGone = lambda: False,
        overran: Callable[[float], None] = lambda _: None,
    ) -> ResultT:
        """Run a job within `seconds`, including the time that it waits for a worker.

        Args:
            job: what to do.
            seconds: the deadline.
            is_gone: whether the client does not wait any longer. Its job is then cancelled.
            overran: receives the seconds that a worker was held by a job that it did not finish in
                time.

        Raises Busy: the queue is full. Overdue: the deadline passed. ClientGone: the client does
        not wait. WorkerDied: the worker failed; try again. One of `job_errors`: the job is wrong.
        """
        ends = self._monotonic() + seconds
        latest = ends - min(MIN_START_SECONDS, seconds / 2)
        if not self._admitted.acquire(blocking=False):
            raise errors.Busy(
                f"too many requests are running or waiting ({self.size} workers, "
                f"{self.max_waiting} waiting places); try again later"
            )
        try:
            return self._dispatch(job, latest, ends, is_gone, overran)
        finally:
            self._admitted.release()

    def _dispatch(
        self,
        job: JobT,
        latest: float,
        ends: float,
        is_gone: IsGone,
        overran: Callable[[float], None],
    ) -> ResultT:
        """Run the job on an idle worker.

        It must start before `latest`: a job that cannot finish in time would only be cancelled.
        """
        slot, worker = self._take_idle(latest, is_gone)
        while not worker.is_alive():  # it died while it was idle
            self._replace(slot)
            slot, worker = self._take_idle(latest, is_gone)
        begun = self._monotonic()
        try:
            result = worker.do(job, ends - begun, is_gone)
        except self._job_errors:
            self._idle.put(slot)
            raise
        except errors.Overdue:
            overran(self._monotonic() - begun)
            self._end_job(slot)
            raise
        except BaseException:
            # The worker is dead or out of step: its next answer could belong to another job.
            self._replace(slot)
            raise
        self._idle.put(slot)
        return result

    def _end_job(self, slot: _Slot[JobT, ResultT]) -> None:
        """Have a job end that has overrun its deadline."""
        if not self._can_cancel:
            self._replace(slot)
            return
        slot.must_cancel = True
        slot.changed.set()

    def _take_idle(self, latest: float, is_gone: IsGone) -> _Taken[JobT, ResultT]:
        with self._lock:
            self._waiting += 1
        if self._idle.empty():
            self._are_needed.set()
        try:
            return self._wait_for_idle(latest, is_gone)
        finally:
            with self._lock:
                self._waiting -= 1

    def _wait_for_idle(self, latest: float, is_gone: IsGone) -> _Taken[JobT, ResultT]:
        while True:
            left = latest - self._monotonic()
            with suppress(queue.Empty):
                slot = self._idle.get(timeout=max(0.0, min(GONE_CHECK_SECONDS, left)))
                break
            if is_gone():
                raise gone()
            if left <= GONE_CHECK_SECONDS:
                raise errors.Overdue("no worker was free within the deadline")
        if slot.worker is None:
            raise errors.WorkerDied("the service is stopping")
        return slot, slot.worker

    def close(self) -> None:
        """End all workers and their jobs."""
        self._closed.set()
        self._can_start.set()
        self._are_needed.set()
        for slot in self._slots:
            self._clear(slot)

    def _replace(self, slot: _Slot[JobT, ResultT]) -> None:
        logger.warning("worker_replaced")
        with self._lock:
            self.replaced_workers += 1
        self._clear(slot)

    def _clear(self, slot: _Slot[JobT, ResultT]) -> None:
        """End the slot's worker. The slot's thread then starts another."""
        with self._lock:
            worker, slot.worker = slot.worker, None
            slot.is_started = False
        if worker is not None:
            worker.stop()
        slot.must_cancel = False
        slot.changed.set()

    def _maintain(self, slot: _Slot[JobT, ResultT]) -> None:
        """Keep a worker in the slot. Runs on the slot's own thread."""
        if slot is not self._slots[0]:
            self._can_start.wait()
            self._are_needed.wait(self._later_seconds)
        pause = FIRST_RETRY_SECONDS
        while not self._closed.is_set():
            if self._start_worker(slot):
                pause = FIRST_RETRY_SECONDS
                self._keep(slot)
            else:
                self.startup_status = "a worker could not be started; retrying"
                self._closed.wait(pause)
                pause = min(MAX_RETRY_SECONDS, 2 * pause)

    def _keep(self, slot: _Slot[JobT, ResultT]) -> None:
        """Cancel jobs of the slot's worker when it is necessary, until it needs another worker."""
        while (worker := slot.worker) is not None and not self._closed.is_set():
            slot.changed.wait()
            slot.changed.clear()
            if slot.must_cancel:
                slot.must_cancel = False
                if worker.cancel(CANCEL_SECONDS):
                    self._idle.put(slot)
                elif not self._closed.is_set():
                    self._replace(slot)
        slot.changed.clear()

    def _start_worker(self, slot: _Slot[JobT, ResultT]) -> bool:
        """Start a worker in the slot. Returns whether it is ready."""
        worker = None
        try:
            worker = self._make()
            with self._lock:
                slot.worker = worker
            if self._closed.is_set():
                self._clear(slot)
                return False
            worker.wait_until_ready(self._report_progress)
        except Exception as error:  # any error: the slot's thread must survive it
            if not self._closed.is_set():
                logger.warning("worker_failed_to_start", reason=_reason(error))
            self._clear(slot)
            slot.changed.clear()
            return False
        slot.is_started = True
        self.startup_status = ""
        self._idle.put(slot)
        self._can_start.set()
        return True

    def _report_progress(self, step: str) -> None:
        if self.startup_status:
            self.startup_status = step


def _reason(error: Exception) -> str:
    return error.name if isinstance(error, errors.DragonError) else "unexpected_error"
