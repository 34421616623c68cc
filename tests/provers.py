"""A prover's parts for tests: a worker on the caller's own thread, and a whole app around it."""

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
from dragon_zkp.pool import Pool, Worker
from dragon_zkp.selfcheck import SelfCheck
from dragon_zkp.worker import do

TOKEN = "a-token-that-nobody-guesses"


class Here:
    """Does what a worker process does, on this thread; jobs and answers cross as they would."""

    def wait_until_ready(self, progress: Callable[[str], None]) -> None:
        progress("kernel 1 of 1")

    def do(self, job: Job, seconds: float) -> bytes:
        assert seconds > 0
        try:
            answer = messages.done(do(messages.unpack(messages.pack(job))))
        except DragonError as error:
            answer = messages.failed(error)
        return messages.result(answer)

    def is_alive(self) -> bool:
        return True

    def stop(self) -> None:
        """Nothing of it goes on."""


@dataclass(frozen=True)
class Prover:
    components: Components
    client: FlaskClient


@contextmanager
def prover(entropy: Callable[[int], bytes], make: Callable[[], Worker] = Here) -> Iterator[Prover]:
    """A prover with one worker, ready."""
    pool = Pool(1, 1, make)
    until(lambda: not pool.startup_status)
    components = Components(pool, SelfCheck(pool, entropy, 5), entropy, 5, TOKEN, *counters())
    try:
        yield Prover(components, create_app(components).test_client())
    finally:
        pool.close()


def until(true: Callable[[], bool]) -> None:
    """Another thread makes it true, in far less than a second."""
    ends = time.monotonic() + 30
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.001)
