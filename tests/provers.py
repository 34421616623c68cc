"""A prover service for tests, with a worker that runs on the calling thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flask.testing import FlaskClient

from dragon.errors import DragonError
from dragon_zkp import messages
from dragon_zkp.app import create_app
from dragon_zkp.components import Components, counters
from dragon_zkp.messages import Job
from dragon_zkp.pool import IsGone, Pool, Worker
from dragon_zkp.selfcheck import SelfCheck
from dragon_zkp.worker import do

TOKEN = "a-token-for-tests-only"


class Here:
    """A worker without a process. Jobs and answers are packed and unpacked as usual."""

    def wait_until_ready(self, progress: Callable[[str], None]) -> None:
        progress("kernel 1 of 1")

    def do(self, job: Job, seconds: float, is_gone: IsGone) -> bytes:
        assert seconds > 0
        try:
            answer = messages.done(do(messages.unpack(messages.pack(job))))
        except DragonError as error:
            answer = messages.failed(error)
        return messages.result(answer)

    def cancel(self, seconds: float) -> bool:
        return False

    def is_alive(self) -> bool:
        return True

    def stop(self) -> None:
        """Do nothing: there is no process to end."""


@dataclass(frozen=True)
class Prover:
    """A prover service and a client for it."""

    components: Components
    client: FlaskClient


@contextmanager
def prover(entropy: Callable[[int], bytes], make: Callable[[], Worker] = Here) -> Iterator[Prover]:
    """A prover service with one worker, which is ready."""
    pool, verifications = Pool(1, 1, make), Pool(1, 1, Here)
    until(lambda: not pool.startup_status and not verifications.startup_status)
    components = Components(
        pool, verifications, SelfCheck(pool, entropy, 5), entropy, 5, TOKEN, *counters()
    )
    try:
        yield Prover(components, create_app(components).test_client())
    finally:
        pool.close()
        verifications.close()


def until(true: Callable[[], bool]) -> None:
    """Wait until a condition holds. Another thread makes it true, usually within a second."""
    ends = time.monotonic() + 30
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.001)
