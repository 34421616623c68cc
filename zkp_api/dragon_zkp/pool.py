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


def _process(module: str) -> Worker:
    return process.Process(module, messages.pack, messages.result)


proving: Final[Callable[[], Worker]] = partial(_process, "dragon_zkp.worker")
verifying: Final[Callable[[], Worker]] = partial(_process, "dragon_zkp.verification_worker")


class Pool(pool.Pool[Job, bytes]):
    """`size` workers, and at most `waiting` jobs that wait for one."""

    def __init__(
        self,
        size: int,
        waiting: int,
        make: Callable[[], Worker] = proving,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        later_seconds: float = 0.0,
    ) -> None:
        super().__init__(
            size, waiting, make, monotonic, job_errors=_JOB_ERRORS, later_seconds=later_seconds
        )
