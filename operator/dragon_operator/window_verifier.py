"""Verifies windows: in worker processes, or in this one.

What a window is found to be depends on its objects alone, never on the process that verifies it: a
worker that ends is replaced, and its window is verified here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import structlog

from dragon.errors import AttestationRefused, Busy, Overdue, WorkerDied
from dragon.node.workers.pool import Pool
from dragon.node.workers.process import Process
from dragon.node.workers.worker import Worker
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.finding import Finding
from dragon.storage.cores import available_cores
from dragon.storage.memory import available_bytes
from dragon_operator import compiled_verification, window_case
from dragon_operator.window_case import VERIFIERS, Judgement, WindowCase

MAX_VERIFIERS: Final = 16  # worker processes
MAX_DEFAULT_VERIFIERS: Final = 8
# Private memory of a worker with compiled kernels is 120 MB. The default starts no more workers
# than have place.
VERIFIER_BYTES: Final = 160 << 20
# For one window, including waiting for a worker. A verification takes less than 0.3 s.
VERIFICATION_SECONDS: Final = 5.0

Pooled: TypeAlias = Pool[WindowCase, Judgement]
logger = structlog.stdlib.get_logger(__name__)


def default_verifiers(
    cores: Callable[[], int] = available_cores, free: Callable[[], int | None] = available_bytes
) -> int:
    """A worker for each core that this process may use, as far as there is memory for them."""
    most = min(cores(), MAX_DEFAULT_VERIFIERS)
    left = free()
    return most if left is None else max(1, min(most, left // VERIFIER_BYTES))


def make_process() -> Worker[WindowCase, Judgement]:
    """Start a worker process."""
    module = "dragon_operator.verification_worker"
    return Process(module, WindowCase.pack, window_case.judgement)


class WindowVerifier:
    """Judges windows. Any thread may use it.

    Args:
        size: worker processes; with less than two, windows are verified in this process.
        waiting: windows that may wait for a worker.
        make: makes a worker.
        load: makes this process use the compiled verifier; called if there are no workers.
        monotonic: returns seconds.
    """

    def __init__(
        self,
        size: int,
        waiting: int,
        *,
        make: Callable[[], Worker[WindowCase, Judgement]] = make_process,
        load: Callable[[], None] = compiled_verification.load,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size, self._waiting = size, waiting
        self._make, self._load, self._monotonic = make, load, monotonic
        self._lock = threading.Lock()  # guards everything below
        self._pool: Pooled | None = None
        self._closed = False
        self.retried = 0  # windows that were verified here because a worker failed
        self._judged = dict.fromkeys(VERIFIERS, 0)  # windows, by verifier

    def start(self) -> None:
        """Start the workers in the background; without workers, load the kernels here."""
        if self._size < 2:
            self._load()
            return
        with self._lock:
            if self._pool is None and not self._closed:
                self._pool = Pool(
                    self._size, self._waiting, self._make, self._monotonic, can_cancel=False
                )
                logger.info("verifiers_started", workers=self._size)

    def close(self) -> None:
        """End all workers. Windows are verified here from now on."""
        with self._lock:
            self._closed, pool, self._pool = True, self._pool, None
        if pool is not None:
            pool.close()

    @property
    def started_workers(self) -> int:
        """Worker processes that are ready."""
        pool = self._pool
        return pool.started_workers if pool else 0

    @property
    def replaced_workers(self) -> int:
        """Worker processes that were replaced because they ended or did not answer in time."""
        pool = self._pool
        return pool.replaced_workers if pool else 0

    @property
    def judged(self) -> Mapping[str, int]:
        """Windows that were verified since the start, by verifier: compiled, plain."""
        with self._lock:
            return dict(self._judged)

    def judge(self, case: WindowCase, charge: Callable[[float], None]) -> Finding:
        """Verify a window.

        Args:
            case: the window with its objects.
            charge: receives the processor seconds that another process has used; of a worker that
                did not finish in time, the seconds that it was held.

        Raises AttestationRefused: there is no finding. `busy`: no worker has answered in time.
        """
        pool = self._pool
        if pool is None or not pool.started_workers:
            return self._judge_here(case)
        try:
            judged = pool.do(case, VERIFICATION_SECONDS, overran=charge)
        except WorkerDied as error:
            return self._judge_again(case, str(error))
        except (Busy, Overdue) as error:
            raise AttestationRefused(RefusalReason.BUSY, str(error)) from None
        charge(judged.seconds)
        self._count(judged.verifier)
        if isinstance(judged.result, AttestationRefused):
            raise judged.result
        return judged.result

    def _judge_here(self, case: WindowCase) -> Finding:
        self._count(window_case.verifier_in_use())
        return case.judge()

    def _count(self, verifier: str) -> None:
        with self._lock:
            self._judged[verifier] += 1

    def _judge_again(self, case: WindowCase, reason: str) -> Finding:
        """Judge a window that no worker has judged. The result is the same; only slower."""
        logger.warning("window_verified_without_worker", reason=reason)
        with self._lock:
            self.retried += 1
        return self._judge_here(case)
