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
from dragon.net.deadlines import DeadlineSocket
from dragon.node.log_format import get_logger
from dragon_zkp import ipc, messages
from dragon_zkp.messages import Job, Verify

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
            ipc.send(self._socket, messages.pack(job))
        except TimeoutError:
            raise errors.Overdue("the worker took too long") from None
        except OSError:
            raise errors.WorkerDied("the worker has ended") from None
        answer = self._receive()
        try:
            return messages.result(answer)
        except (LookupError, ValueError, TypeError, RecursionError):
            raise errors.WorkerDied("the worker has lost its mind") from None

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def _receive(self) -> ipc.Strings:
        try:
            return ipc.receive(self._socket)
        except TimeoutError:
            raise errors.Overdue("the worker took too long") from None
        except (EOFError, OSError):
            raise errors.WorkerDied("the worker has ended") from None

    def stop(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()


class _Place:
    """Where one worker stands at a time."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.empty = threading.Event()


class Pool:
    """`size` workers, started in the background, and at most `waiting` jobs that wait for one.

    Each place has a thread of its own for as long as the pool lives: where a process cannot be
    started now, neither could a thread that tries it again later.
    """

    def __init__(
        self,
        size: int,
        waiting: int,
        make: Callable[[], Worker] = Process,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._monotonic = monotonic
        self._idle: queue.Queue[_Place] = queue.Queue()
        self._admitted = threading.BoundedSemaphore(size + waiting)
        # Anybody may have proofs checked; the owner's own proofs are to find a place beside them.
        self._verifying = threading.BoundedSemaphore(max(1, (size + waiting) // 2))
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self.size, self.waiting = size, waiting
        self.replaced = 0
        self.boot = "workers are being started"  # how far the first one has come; empty when ready
        self._places = [_Place() for _ in range(size)]
        for place in self._places:
            threading.Thread(target=self._keep, args=(place,), name="worker", daemon=True).start()

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
        with ExitStack() as held:
            for bound in [self._admitted, *([self._verifying] if isinstance(job, Verify) else [])]:
                if not bound.acquire(blocking=False):
                    message = f"{self.size} jobs are at work and as many wait as may"
                    raise errors.Busy(message)
                held.callback(bound.release)
            return self._hand_out(job, latest, ends)

    def _hand_out(self, job: Job, latest: float, ends: float) -> bytes:
        """A job that can hardly be done any more is not begun: it would cost a worker."""
        place, worker = self._next(latest)
        while not worker.is_alive():  # it died with nothing in its hands
            self._replace(place)
            place, worker = self._next(latest)
        try:
            result = worker.do(job, ends - self._monotonic())
        except _OF_THE_JOB:
            self._idle.put(place)
            raise
        except BaseException:
            # Late, dead, or saying what makes no sense: what it says next would be another's.
            self._replace(place)
            raise
        self._idle.put(place)
        return result

    def _next(self, latest: float) -> tuple[_Place, Worker]:
        try:
            place = self._idle.get(timeout=max(0.0, latest - self._monotonic()))
        except queue.Empty:
            raise errors.Overdue("no worker was free in time") from None
        if place.worker is None:
            raise errors.WorkerDied("the service is stopping")
        return place, place.worker

    def close(self) -> None:
        """End all workers, and what they are at."""
        self._closed.set()
        for place in self._places:
            self._clear(place)

    def _replace(self, place: _Place) -> None:
        logger.warning("worker_replaced")
        with self._lock:
            self.replaced += 1
        self._clear(place)

    def _clear(self, place: _Place) -> None:
        """End what stands there; the place's own thread then looks for another."""
        with self._lock:
            worker, place.worker = place.worker, None
        if worker is not None:
            worker.stop()
        place.empty.set()

    def _keep(self, place: _Place) -> None:
        """Runs on the place's own thread: there is always a worker, or one is on its way."""
        pause = 0.5
        while not self._closed.is_set():
            if self._bring_up(place):
                pause = 0.5
                place.empty.wait()
                place.empty.clear()
            else:
                self.boot = "a worker could not be started"
                self._closed.wait(pause)
                pause = min(30.0, 2 * pause)

    def _bring_up(self, place: _Place) -> bool:
        """Whether there is a worker now."""
        worker = None
        try:
            worker = self._make()
            with self._lock:
                place.worker = worker
            if self._closed.is_set():
                self._clear(place)
                return False
            worker.warm(self._progress)
        except Exception as error:  # whatever it is: the place must not be lost
            if not self._closed.is_set():
                logger.warning("worker_failed_to_start", reason=type(error).__name__)
            self._clear(place)
            place.empty.clear()
            return False
        self.boot = ""
        self._idle.put(place)
        return True

    def _progress(self, said: str) -> None:
        if self.boot:
            self.boot = f"workers prepare: {said}"
