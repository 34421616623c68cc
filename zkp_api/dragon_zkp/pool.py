"""Workers, and who may wait for one.

As many jobs as there are workers are at work; a bounded number waits; everybody else is told to
come back. A worker that dies or takes too long is replaced, and only its own job fails.
"""

from __future__ import annotations

import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, Protocol

from dragon import errors
from dragon.sockets import DeadlineSocket
from dragon.web.logs import get_logger
from dragon_zkp import frames, jobs
from dragon_zkp.jobs import Job

LEAST: Final = 1.0  # seconds that a job begins with, or half of what it was given
BOOTING: Final = 180.0  # seconds in which a worker compiles its kernels, cold and on a busy machine

# What is wrong with a job, and not with the worker that says so.
_OF_THE_JOB: Final = (
    errors.ProofRefused,
    errors.WrongWitness,
    errors.UnsafeParameters,
    errors.UnluckyChallenge,
)

logger = get_logger(__name__)


class Worker(Protocol):
    """One that takes jobs; `Process` is the real one."""

    def warm(self, progress: Callable[[str], None]) -> None:
        """Wait until it is ready. Raises WorkerDied."""

    def do(self, job: Job, seconds: float) -> bytes:
        """Raises ProofRefused, ProvingError: the job's own. WorkerDied, Overdue: it is no good."""

    def is_alive(self) -> bool:
        """Whether it can be given a job."""

    def stop(self) -> None:
        """End it at once, whatever it does."""


class Process:
    """A worker in a process of its own, started anew and not forked from this one."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._socket = DeadlineSocket.adopt(ours)
        with theirs, ExitStack() as undo:
            undo.callback(self._socket.close)
            self._process = subprocess.Popen(  # noqa: S603 - we start only ourselves
                [sys.executable, "-P", "-m", "dragon_zkp.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            undo.pop_all()

    def warm(self, progress: Callable[[str], None]) -> None:
        self._socket.settimeout(BOOTING)
        while (said := self._receive())[0] == b"warming":
            number, of = int(said[2]) + 1, int(said[3])
            progress(f"kernel {min(number, of)} of {of}")

    def do(self, job: Job, seconds: float) -> bytes:
        self._socket.settimeout(max(0.001, seconds))
        try:
            frames.send(self._socket, jobs.pack(job))
        except TimeoutError:
            raise errors.Overdue("the worker took too long") from None
        except OSError:
            raise errors.WorkerDied("the worker has ended") from None
        answer = self._receive()
        try:
            return jobs.result(answer)
        except (LookupError, ValueError, TypeError, RecursionError):
            raise errors.WorkerDied("the worker has lost its mind") from None

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def _receive(self) -> frames.Strings:
        try:
            return frames.receive(self._socket)
        except TimeoutError:
            raise errors.Overdue("the worker took too long") from None
        except (EOFError, OSError):
            raise errors.WorkerDied("the worker has ended") from None

    def stop(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()


class Pool:
    """`size` workers, started in the background, and at most `waiting` jobs that wait for one."""

    def __init__(
        self,
        size: int,
        waiting: int,
        make: Callable[[], Worker] = Process,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._monotonic = monotonic
        self._idle: queue.Queue[Worker] = queue.Queue()
        self._places = threading.BoundedSemaphore(size + waiting)
        self._lock = threading.Lock()
        self._all: set[Worker] = set()
        self._closed = False
        self._threads: list[threading.Thread] = []
        self.size, self.waiting = size, waiting
        self.replaced = 0
        self.boot = "workers are being started"  # how far the first one has come; empty when ready
        for _ in range(size):
            self._start_one()

    @property
    def at_work(self) -> int:
        """Workers that are neither idle nor ready yet count as at work."""
        return self.size - self._idle.qsize()

    def do(self, job: Job, seconds: float) -> bytes:
        """What the job gives, within `seconds` in all.

        Raises Busy: too many wait. Overdue: not in time. WorkerDied: try again. ProofRefused,
        ProvingError: what the job itself was refused for.
        """
        ends = self._monotonic() + seconds
        latest = ends - min(LEAST, seconds / 2)
        if not self._places.acquire(blocking=False):
            raise errors.Busy(f"{self.size} proofs are being made and {self.waiting} more wait")
        try:
            return self._hand_out(job, latest, ends)
        finally:
            self._places.release()

    def _hand_out(self, job: Job, latest: float, ends: float) -> bytes:
        """A job that can hardly be done any more is not begun: it would cost a worker."""
        worker = self._next(latest)
        while not worker.is_alive():  # it died with nothing in its hands
            self._replace(worker)
            worker = self._next(latest)
        try:
            result = worker.do(job, ends - self._monotonic())
        except _OF_THE_JOB:
            self._idle.put(worker)
            raise
        except BaseException:
            # Late, dead, or saying what makes no sense: what it says next would be another's.
            self._replace(worker)
            raise
        self._idle.put(worker)
        return result

    def _next(self, latest: float) -> Worker:
        try:
            return self._idle.get(timeout=max(0.0, latest - self._monotonic()))
        except queue.Empty:
            raise errors.Overdue("no worker was free in time") from None

    def close(self) -> None:
        """End all workers, and what they are at."""
        with self._lock:
            self._closed = True
            workers = list(self._all)
        for worker in workers:
            worker.stop()

    def _replace(self, worker: Worker) -> None:
        logger.warning("worker_replaced")
        with self._lock:
            self._all.discard(worker)
            self.replaced += 1
        self._start_one()
        worker.stop()

    def _start_one(self) -> None:
        """In the background: nobody waits for kernels to be compiled but who needs a worker."""
        thread = threading.Thread(target=self._bring_up, name="worker-start", daemon=True)
        self._threads = [*(old for old in self._threads if old.is_alive()), thread]
        thread.start()

    def _bring_up(self) -> None:
        pause = 0.5
        while not self._bring_one():
            if self._stopping():
                return
            self.boot = "a worker could not be started"
            time.sleep(pause)
            pause = min(30.0, 2 * pause)

    def _bring_one(self) -> bool:
        """Whether there is one more worker, or none is wanted any more."""
        worker = None
        try:
            with self._lock:
                if self._closed:
                    return True
                worker = self._make()
                self._all.add(worker)
            worker.warm(self._progress)
        except Exception as error:  # whatever it is: the worker's place must not be lost
            if worker is not None:
                with self._lock:
                    self._all.discard(worker)
                worker.stop()
            if not self._stopping():
                logger.warning("worker_failed_to_start", reason=type(error).__name__)
            return False
        self.boot = ""
        self._idle.put(worker)
        return True

    def _stopping(self) -> bool:
        with self._lock:
            return self._closed

    def _progress(self, said: str) -> None:
        if self.boot:
            self.boot = f"workers prepare: {said}"
