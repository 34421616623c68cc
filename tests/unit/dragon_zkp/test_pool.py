"""The pool: admission, waiting, deadlines, and the replacement of failed workers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import pytest

from dragon import errors
from dragon_zkp.messages import BlocksStatement, Job, Prove
from dragon_zkp.pool import IsGone, Pool
from provers import until

STATEMENT = BlocksStatement("standard", (), b"")
JOB = Prove(STATEMENT, b"", (), b"")


class Worker:
    """A worker that calls a function of the test for each job."""

    def __init__(self, answer: Callable[[float], bytes]) -> None:
        self.answer = answer
        self.stopped = False
        self.alive = True
        self.can_stop_a_job = False
        self.cancelled = 0

    def is_alive(self) -> bool:
        return self.alive

    def wait_until_ready(self, progress: Callable[[str], None]) -> None:
        progress("kernel 1 of 1")

    def do(self, job: Job, seconds: float, is_gone: IsGone) -> bytes:
        if is_gone():
            raise errors.ClientGone("gone")
        return self.answer(seconds)

    def cancel(self, seconds: float) -> bool:
        self.cancelled += 1
        return self.can_stop_a_job

    def stop(self) -> None:
        self.stopped = True


class Workers(list[Worker]):
    """Makes and lists workers. They get `answers` in order; the last answer repeats."""

    def __init__(self, *answers: Callable[[float], bytes]) -> None:
        self.answers = list(answers)

    def __call__(self) -> Worker:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.append(Worker(answer))
        return self[-1]


def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the pauses between attempts to start a worker."""
    wait = threading.Event.wait
    monkeypatch.setattr(
        threading.Event, "wait", lambda self, timeout=None: wait(self, timeout and 0.001)
    )


def fine(_: float) -> bytes:
    return b"done"


def dies(_: float) -> bytes:
    raise errors.WorkerDied("gone")


def hangs(_: float) -> bytes:
    raise errors.Overdue("too long")


def answers_nonsense(_: float) -> bytes:
    raise ValueError("not an answer")


def refuses(_: float) -> bytes:
    raise errors.ProofRefused("oods", "no")


@pytest.fixture
def pools() -> Iterator[list[Pool]]:
    made: list[Pool] = []
    yield made
    for pool in made:
        pool.close()


def ready(pools: list[Pool], size: int, waiting: int, workers: Workers) -> Pool:
    pool = Pool(size, waiting, workers)
    pools.append(pool)
    until(lambda: pool.busy_workers == 0)
    assert pool.startup_status == ""
    return pool


@pytest.mark.parametrize("bad", [dies, hangs, answers_nonsense])
def test_a_failed_worker_fails_only_its_own_job_and_is_replaced(
    pools: list[Pool], bad: Callable[[float], bytes]
) -> None:
    workers = Workers(bad, fine)
    pool = ready(pools, 1, 0, workers)

    with pytest.raises((errors.WorkerDied, errors.Overdue, ValueError)):
        pool.do(JOB, 5)

    until(lambda: workers[0].stopped)
    assert pool.do(JOB, 5) == b"done"
    assert (len(workers), pool.replaced_workers) == (2, 1)


def test_the_first_worker_starts_alone_and_the_others_after_it(pools: list[Pool]) -> None:
    compiled = threading.Event()

    class Compiling(Worker):
        def wait_until_ready(self, progress: Callable[[str], None]) -> None:
            progress("compiling: kernel 1 of 41")
            assert compiled.wait(30)

    made: list[Worker] = []

    def make() -> Worker:
        made.append(Worker(fine) if made else Compiling(fine))
        return made[-1]

    pool = Pool(3, 3, make)
    pools.append(pool)
    until(lambda: pool.startup_status == "compiling: kernel 1 of 41")
    assert len(made) == 1

    compiled.set()

    until(lambda: pool.busy_workers == 0)
    assert (len(made), pool.startup_status) == (3, "")


def test_the_other_workers_start_earlier_if_a_job_waits(pools: list[Pool]) -> None:
    finish = threading.Event()

    def slow(_: float) -> bytes:
        assert finish.wait(30)
        return b"done"

    workers = Workers(slow)
    pool = Pool(2, 2, workers, later_seconds=3600)
    pools.append(pool)
    with ThreadPoolExecutor() as threads:
        until(lambda: pool.started_workers == 1)
        first = threads.submit(pool.do, JOB, 30)
        until(lambda: pool.busy_workers == 2)
        assert len(workers) == 1
        second = threads.submit(pool.do, JOB, 30)
        until(lambda: pool.started_workers == 2)
        finish.set()
        assert (first.result(30), second.result(30)) == (b"done", b"done")


def test_closing_does_not_wait_for_workers_that_start_later() -> None:
    workers = Workers(fine)
    pool = Pool(2, 2, workers, later_seconds=3600)
    until(lambda: pool.started_workers == 1)

    pool.close()

    until(lambda: not [each for each in threading.enumerate() if each.name == "worker"])
    assert len(workers) == 1


def test_a_job_waits_for_the_worker_that_compiles(pools: list[Pool]) -> None:
    compiled = threading.Event()

    class Compiling(Worker):
        def wait_until_ready(self, progress: Callable[[str], None]) -> None:
            assert compiled.wait(30)

    pool = Pool(1, 1, lambda: Compiling(fine))
    pools.append(pool)
    with ThreadPoolExecutor() as threads:
        job = threads.submit(pool.do, JOB, 30)
        until(lambda: pool.waiting_jobs == 1)
        compiled.set()
        assert job.result(30) == b"done"


def test_a_refused_job_does_not_replace_the_worker(pools: list[Pool]) -> None:
    workers = Workers(refuses)
    pool = ready(pools, 1, 0, workers)
    for _ in range(3):
        with pytest.raises(errors.ProofRefused):
            pool.do(JOB, 5)
    assert (len(workers), pool.replaced_workers, workers[0].stopped) == (1, 0, False)


def test_a_job_beyond_the_waiting_places_is_refused_as_busy(pools: list[Pool]) -> None:
    go, busy_workers = threading.Event(), threading.Semaphore(0)

    def slow(_: float) -> bytes:
        busy_workers.release()
        assert go.wait(30)
        return b"done"

    pool = ready(pools, 2, 1, Workers(slow))
    with ThreadPoolExecutor(3) as callers:
        asked = [callers.submit(pool.do, JOB, 30) for _ in range(3)]
        assert busy_workers.acquire(timeout=30)
        assert busy_workers.acquire(timeout=30)
        until(lambda: pool._admitted._value == 0)
        with pytest.raises(errors.Busy):
            pool.do(JOB, 30)
        go.set()
        assert [one.result(30) for one in asked] == [b"done"] * 3
    assert pool.do(JOB, 30) == b"done"


@pytest.mark.parametrize("gone", [False, True])
def test_a_worker_that_stops_a_cancelled_job_is_kept(pools: list[Pool], gone: bool) -> None:
    """The job is overdue, or its client has gone; the worker does not start again."""
    workers = Workers(fine if gone else hangs)
    pool = ready(pools, 1, 0, workers)
    workers[0].can_stop_a_job = True
    for cancelled in (1, 2, 3):
        with pytest.raises(errors.ClientGone if gone else errors.Overdue):
            pool.do(JOB, 5, lambda: gone)
        until(lambda: pool.busy_workers == 0)
        assert workers[0].cancelled == cancelled
    workers[0].answer = fine
    assert pool.do(JOB, 5) == b"done"
    assert (len(workers), pool.replaced_workers, workers[0].stopped) == (1, 0, False)


def test_a_job_whose_client_has_gone_frees_its_waiting_place(pools: list[Pool]) -> None:
    go, begun, gone = threading.Event(), threading.Event(), threading.Event()

    def slow(_: float) -> bytes:
        begun.set()
        assert go.wait(30)
        return b"done"

    pool = ready(pools, 1, 1, Workers(slow))
    with ThreadPoolExecutor(3) as callers:
        running = callers.submit(pool.do, JOB, 30)
        assert begun.wait(30)
        waiting = callers.submit(pool.do, JOB, 30, gone.is_set)
        until(lambda: pool._admitted._value == 0)
        gone.set()
        with pytest.raises(errors.ClientGone):
            waiting.result(30)
        another = callers.submit(pool.do, JOB, 30)
        go.set()
        assert (running.result(30), another.result(30)) == (b"done", b"done")


def test_waiting_counts_towards_the_deadline(pools: list[Pool]) -> None:
    go, begun, given = threading.Event(), threading.Event(), []

    def slow(seconds: float) -> bytes:
        given.append(seconds)
        begun.set()
        assert go.wait(30)
        return b"done"

    pool = ready(pools, 1, 1, Workers(slow))
    with ThreadPoolExecutor(1) as callers:
        asked = callers.submit(pool.do, JOB, 30)
        assert begun.wait(30)
        with pytest.raises(errors.Overdue, match="no worker was free"):
            pool.do(JOB, 0.01)
        go.set()
        assert asked.result(30) == b"done"
    assert 29 < given[0] <= 30


@pytest.mark.parametrize(("seconds", "waited"), [(10.0, 9.0), (2.0, 1.0), (0.5, 0.25)])
def test_a_job_with_too_little_time_left_is_not_started(
    pools: list[Pool], monkeypatch: pytest.MonkeyPatch, seconds: float, waited: float
) -> None:
    now = 100.0
    pool = Pool(1, 0, Workers(fine), lambda: now)
    pools.append(pool)
    until(lambda: pool.busy_workers == 0)

    def none_idle(timeout: float) -> NoReturn:
        nonlocal now
        now += timeout
        raise queue.Empty

    monkeypatch.setattr(pool._idle, "get", none_idle)
    with pytest.raises(errors.Overdue, match="no worker was free"):
        pool.do(JOB, seconds)
    assert now - 100 == waited


def test_workers_that_died_while_idle_are_replaced_without_failing_a_job(
    pools: list[Pool],
) -> None:
    workers = Workers(fine)
    pool = ready(pools, 2, 0, workers)
    for worker in list(workers):
        worker.alive = False
    assert pool.do(JOB, 30) == b"done"
    assert pool.replaced_workers == 2


@pytest.mark.parametrize("error", [BlockingIOError(11, "no more processes"), MemoryError()])
def test_a_worker_that_cannot_be_created_is_tried_again(
    pools: list[Pool], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    without_pauses(monkeypatch)
    failures = [error, error]

    def make() -> Worker:
        if failures:
            raise failures.pop()
        return Worker(fine)

    pool = Pool(1, 0, make)
    pools.append(pool)
    assert pool.do(JOB, 30) == b"done"
    assert pool.startup_status == ""


@pytest.mark.parametrize("error", [errors.WorkerDied("at once"), ValueError("no number")])
def test_a_worker_that_does_not_start_is_tried_again(
    pools: list[Pool], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class FailingAtStart(Worker):
        def wait_until_ready(self, progress: Callable[[str], None]) -> None:
            raise error

    without_pauses(monkeypatch)
    made: list[Worker] = []

    def make() -> Worker:
        made.append(FailingAtStart(fine) if len(made) < 2 else Worker(fine))
        return made[-1]

    pool = Pool(1, 0, make)
    pools.append(pool)
    assert pool.do(JOB, 30) == b"done"
    assert [worker.stopped for worker in made] == [True, True, False]


def test_closing_ends_all_workers_and_starts_no_other() -> None:
    workers = Workers(fine)
    pool = Pool(3, 0, workers)
    until(lambda: pool.busy_workers == 0)
    pool.close()
    assert [worker.stopped for worker in workers] == [True] * 3
