"""The pools of worker processes that make and verify proofs."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from dragon import errors
from dragon.node.workers import pool, process, worker
from dragon.node.workers.worker import IsGone
from dragon_zkp import messages
from dragon_zkp.messages import Job

__all__ = ["IsGone", "Pool", "Worker", "proving", "verifying"]

Worker: TypeAlias = worker.Worker[Job, bytes]

# These errors say that the job is wrong. The worker that reported them stays in use.
_JOB_ERRORS: Final = (
    errors.ProofRefused,
    errors.WrongWitness,
    errors.UnsafeParameters,
    errors.UnluckyChallenge,
)

<<<<<<< HEAD
=======
# What a worker does before it is ready. `/readyz` lists it; `compiling` keeps no service waiting.
ACTIVITIES: Final = {
    messages.LOADING: "workers are preparing",
    messages.COMPILING: "compiling",
}

# The modules that worker processes run.
PROVING: Final = "dragon_zkp.worker"
VERIFYING: Final = "dragon_zkp.verification_worker"
>>>>>>> a61be903c4f33142e37b09fdcb54048fa8c91445

def _process(module: str) -> Worker:
    return process.Process(module, messages.pack, messages.result)


proving: Final[Callable[[], Worker]] = partial(_process, "dragon_zkp.worker")
verifying: Final[Callable[[], Worker]] = partial(_process, "dragon_zkp.verification_worker")


<<<<<<< HEAD
class Pool(pool.Pool[Job, bytes]):
    """`size` workers, and at most `waiting` jobs that wait for one."""
=======
class Process:
    """A worker in a separate process. The process is spawned, not forked from this one."""

    def __init__(self, module: str = PROVING) -> None:
        self._in_step = True  # the next message that arrives is the next answer
        ours, theirs = socket.socketpair()
        self._socket = DeadlineSocket.adopt(ours)
        with theirs, ExitStack() as undo:
            undo.callback(self._socket.close)
            self._process = subprocess.Popen(  # noqa: S603 - the command is fixed
                [sys.executable, "-P", "-m", module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            undo.pop_all()

    def wait_until_ready(self, progress: Callable[[str], None]) -> None:
        self._socket.settimeout(WORKER_START_TIMEOUT_SECONDS)
        while (message := self._receive())[0] in ACTIVITIES:
            number, total = int(message[2]) + 1, int(message[3])
            progress(f"{ACTIVITIES[message[0]]}: kernel {min(number, total)} of {total}")

    def do(self, job: Job, seconds: float, is_gone: IsGone) -> bytes:
        ends = time.monotonic() + seconds
        self._send(messages.pack(job), seconds)
        while not self._can_receive(min(GONE_CHECK_SECONDS, ends - time.monotonic())):
            if is_gone():
                raise _gone()
            if time.monotonic() >= ends:
                raise _late()
        self._socket.settimeout(TRANSFER_SECONDS)
        answer = self._receive()
        try:
            return messages.result(answer)
        except (LookupError, ValueError, TypeError, RecursionError):
            message = "the worker sent an invalid answer; send the request again"
            raise errors.WorkerDied(message) from None

    def cancel(self, seconds: float) -> bool:
        try:
            self._send(messages.CANCEL, seconds)
            self._socket.settimeout(seconds)
            self._receive()  # every job has one answer; this one says how the cancelled job ended
        except errors.DragonError:
            return False
        return True

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def _can_receive(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(max(0.0, 1000 * seconds)))

    def _send(self, strings: ipc.Strings, seconds: float) -> None:
        if not self._in_step:
            raise _ended()
        self._socket.settimeout(max(0.001, seconds))
        try:
            ipc.send(self._socket, strings)
        except TimeoutError:
            self._in_step = False
            raise _late() from None
        except (OSError, ValueError):
            raise _ended() from None

    def _receive(self) -> ipc.Strings:
        try:
            return ipc.receive(self._socket)
        except TimeoutError:
            self._in_step = False
            raise _late() from None
        except (EOFError, OSError):
            raise _ended() from None

    def stop(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()


def _late() -> errors.Overdue:
    return errors.Overdue("the worker did not finish within the deadline")


def _gone() -> errors.ClientGone:
    return errors.ClientGone("the client closed its connection before its request was finished")


def _ended() -> errors.WorkerDied:
    return errors.WorkerDied("the worker process ended; send the request again")


class _Slot:
    """The place of one worker in the pool. `changed` is set when its thread has something to do."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.must_cancel = False  # the job of the worker
        self.changed = threading.Event()


class Pool:
    """`size` workers, started in the background, and at most `waiting` jobs that wait for one.

    The first worker starts alone. So kernels are compiled once, and it is ready sooner.
    Each slot keeps one thread for the whole life of the pool. When the system is too short of
    resources to start a process, it could not start a thread that tries again later either.
    """
>>>>>>> a61be903c4f33142e37b09fdcb54048fa8c91445

    def __init__(
        self,
        size: int,
        waiting: int,
        make: Callable[[], Worker] = proving,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
<<<<<<< HEAD
        super().__init__(size, waiting, make, monotonic, job_errors=_JOB_ERRORS)
=======
        self._make = make
        self._monotonic = monotonic
        self._idle: queue.Queue[_Slot] = queue.Queue()
        self._admitted = threading.BoundedSemaphore(size + waiting)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self.size, self.max_waiting = size, waiting
        self.replaced_workers = 0
        self._waiting = 0
        self.startup_status = "workers are starting"  # of the first worker; empty when it is ready
        self._slots = [_Slot() for _ in range(size)]
        # The first worker compiles the kernels, if it must; the others then read them.
        self._can_start = threading.Event()
        for slot in self._slots:
            threading.Thread(
                target=self._maintain, args=(slot,), name="worker", daemon=True
            ).start()

    @property
    def busy_workers(self) -> int:
        """The number of workers that are not idle. Workers that are still starting count."""
        return self.size - self._idle.qsize()

    @property
    def waiting_jobs(self) -> int:
        """The number of jobs that wait for a worker."""
        return self._waiting

    def do(self, job: Job, seconds: float, is_gone: IsGone = lambda: False) -> bytes:
        """Run a job within `seconds`, including the time that it waits for a worker.

        Args:
            job: what to do.
            seconds: the deadline.
            is_gone: whether the client does not wait any longer. Its job is then cancelled.

        Raises Busy: the queue is full. Overdue: the deadline passed. ClientGone: the client does
        not wait. WorkerDied: the worker failed; try again. ProofRefused, ProvingError: the job is
        wrong.
        """
        ends = self._monotonic() + seconds
        latest = ends - min(MIN_START_SECONDS, seconds / 2)
        if not self._admitted.acquire(blocking=False):
            raise errors.Busy(
                f"too many requests are running or waiting ({self.size} workers, "
                f"{self.max_waiting} waiting places); try again later"
            )
        try:
            return self._dispatch(job, latest, ends, is_gone)
        finally:
            self._admitted.release()

    def _dispatch(self, job: Job, latest: float, ends: float, is_gone: IsGone) -> bytes:
        """Run the job on an idle worker.

        It must start before `latest`: a job that cannot finish in time would only be cancelled.
        """
        slot, worker = self._take_idle(latest, is_gone)
        while not worker.is_alive():  # it died while it was idle
            self._replace(slot)
            slot, worker = self._take_idle(latest, is_gone)
        try:
            result = worker.do(job, ends - self._monotonic(), is_gone)
        except _JOB_ERRORS:
            self._idle.put(slot)
            raise
        except errors.Overdue:
            slot.must_cancel = True
            slot.changed.set()
            raise
        except BaseException:
            # The worker is dead or out of step: its next answer could belong to another job.
            self._replace(slot)
            raise
        self._idle.put(slot)
        return result

    def _take_idle(self, latest: float, is_gone: IsGone) -> tuple[_Slot, Worker]:
        with self._lock:
            self._waiting += 1
        try:
            return self._wait_for_idle(latest, is_gone)
        finally:
            with self._lock:
                self._waiting -= 1

    def _wait_for_idle(self, latest: float, is_gone: IsGone) -> tuple[_Slot, Worker]:
        while True:
            left = latest - self._monotonic()
            with suppress(queue.Empty):
                slot = self._idle.get(timeout=max(0.0, min(GONE_CHECK_SECONDS, left)))
                break
            if is_gone():
                raise _gone()
            if left <= GONE_CHECK_SECONDS:
                raise errors.Overdue("no worker was free within the deadline")
        if slot.worker is None:
            raise errors.WorkerDied("the service is stopping")
        return slot, slot.worker

    def close(self) -> None:
        """End all workers and their jobs."""
        self._closed.set()
        self._can_start.set()
        for slot in self._slots:
            self._clear(slot)

    def _replace(self, slot: _Slot) -> None:
        logger.warning("worker_replaced")
        with self._lock:
            self.replaced_workers += 1
        self._clear(slot)

    def _clear(self, slot: _Slot) -> None:
        """End the slot's worker. The slot's thread then starts another."""
        with self._lock:
            worker, slot.worker = slot.worker, None
        if worker is not None:
            worker.stop()
        slot.must_cancel = False
        slot.changed.set()

    def _maintain(self, slot: _Slot) -> None:
        """Keep a worker in the slot. Runs on the slot's own thread."""
        if slot is not self._slots[0]:
            self._can_start.wait()
        pause = FIRST_RETRY_SECONDS
        while not self._closed.is_set():
            if self._start_worker(slot):
                pause = FIRST_RETRY_SECONDS
                self._keep(slot)
            else:
                self.startup_status = "a worker could not be started; retrying"
                self._closed.wait(pause)
                pause = min(MAX_RETRY_SECONDS, 2 * pause)

    def _keep(self, slot: _Slot) -> None:
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

    def _start_worker(self, slot: _Slot) -> bool:
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
        self.startup_status = ""
        self._idle.put(slot)
        self._can_start.set()
        return True

    def _report_progress(self, step: str) -> None:
        if self.startup_status:
            self.startup_status = step


def _reason(error: Exception) -> str:
    return error.name if isinstance(error, errors.DragonError) else "unexpected_error"
>>>>>>> a61be903c4f33142e37b09fdcb54048fa8c91445
