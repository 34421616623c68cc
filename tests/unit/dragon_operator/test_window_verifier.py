"""Windows are verified in workers or here, and a worker that fails changes no verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from dragon import errors
from dragon.node.workers.worker import IsGone
from dragon.protocol.claims.window import InvalidReason
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.finding import Finding
from dragon.stark import compiled
from dragon_operator.window_case import COMPILED, PLAIN, Judgement, WindowCase
from dragon_operator.window_verifier import (
    MAX_DEFAULT_VERIFIERS,
    VERIFICATION_SECONDS,
    VERIFIER_BYTES,
    WindowVerifier,
    default_verifiers,
)
from provers import until

VALID, INVALID = Finding(InvalidReason.NONE), Finding(InvalidReason.STARK, "by the worker")


class Case:
    """A window that this process finds valid."""

    def __init__(self) -> None:
        self.judged_here = 0

    def judge(self) -> Finding:
        self.judged_here += 1
        return VALID


class Worker:
    """A worker that calls a function of the test for each window."""

    def __init__(self, answer: Callable[[], Judgement]) -> None:
        self.answer, self.stopped, self.alive = answer, False, True

    def wait_until_ready(self, progress: Callable[[str], None]) -> None:
        """Start at once."""

    def do(self, job: WindowCase, seconds: float, is_gone: IsGone) -> Judgement:
        assert 0 < seconds <= VERIFICATION_SECONDS
        return self.answer()

    def cancel(self, seconds: float) -> bool:
        return True

    def is_alive(self) -> bool:
        return self.alive

    def stop(self) -> None:
        self.stopped = True


def finds() -> Judgement:
    return Judgement(INVALID, 0.25, COMPILED)


def refuses() -> Judgement:
    return Judgement(errors.AttestationRefused(RefusalReason.CLOCK, "too early"), 0.5, COMPILED)


def dies() -> Judgement:
    raise errors.WorkerDied("the worker process ended")


def answers_nonsense() -> Judgement:
    raise errors.WorkerDied("the worker sent an invalid answer")


class Verifier:
    """A verifier with two workers, and what it charged."""

    def __init__(self, answer: Callable[[], Judgement], size: int = 2) -> None:
        self.workers: list[Worker] = []
        self.loaded = 0
        self.charged: list[float] = []
        self.answer = answer
        self.now = 0.0  # monotonic seconds
        self.made = WindowVerifier(
            size, 4, make=self._make, load=self._load, monotonic=lambda: self.now
        )

    def _make(self) -> Worker:
        self.workers.append(Worker(self._answer))
        return self.workers[-1]

    def _answer(self) -> Judgement:
        return self.answer()  # as it is then

    def hang(self) -> Judgement:
        self.now += VERIFICATION_SECONDS
        raise errors.Overdue("the worker did not finish within the deadline")

    def _load(self) -> None:
        self.loaded += 1

    def judge(self, case: Any) -> Finding:
        return self.made.judge(cast(WindowCase, case), self.charged.append)


@pytest.fixture
def verifiers() -> Iterator[list[Verifier]]:
    made: list[Verifier] = []
    yield made
    for each in made:
        each.made.close()


@pytest.fixture
def started(verifiers: list[Verifier]) -> Callable[[Callable[[], Judgement]], Verifier]:
    def start(answer: Callable[[], Judgement]) -> Verifier:
        verifier = Verifier(answer)
        verifiers.append(verifier)
        verifier.made.start()
        until(lambda: verifier.made.started_workers == 2)
        return verifier

    return start


Started = Callable[[Callable[[], Judgement]], Verifier]


def test_a_window_is_verified_by_a_worker_and_charged(started: Started) -> None:
    verifier, case = started(finds), Case()

    assert verifier.judge(case) == INVALID
    assert (case.judged_here, verifier.charged, verifier.loaded) == (0, [0.25], 0)


def test_a_refusal_of_a_worker_is_raised_and_charged(started: Started) -> None:
    verifier, case = started(refuses), Case()

    with pytest.raises(errors.AttestationRefused, match="too early") as refused:
        verifier.judge(case)
    assert (refused.value.reason, verifier.charged) == (RefusalReason.CLOCK, [0.5])


@pytest.mark.parametrize("fails", [dies, answers_nonsense])
def test_a_window_whose_worker_fails_is_verified_here(
    fails: Callable[[], Judgement], started: Started
) -> None:
    verifier, case = started(fails), Case()

    assert verifier.judge(case) == VALID
    assert (case.judged_here, verifier.made.retried, verifier.charged) == (1, 1, [])
    until(lambda: verifier.made.started_workers == 2)
    assert verifier.made.replaced_workers == 1
    verifier.answer = finds
    assert verifier.judge(case) == INVALID


def test_a_window_that_no_worker_verifies_in_time_is_busy(started: Started) -> None:
    """Never `invalid`: nothing is known of the window. Its stream pays for the worker."""
    verifier, case = started(finds), Case()
    verifier.answer = verifier.hang

    with pytest.raises(errors.AttestationRefused) as refused:
        verifier.judge(case)
    assert refused.value.reason == RefusalReason.BUSY
    assert (case.judged_here, verifier.charged) == (0, [VERIFICATION_SECONDS])


def test_a_worker_that_hangs_is_ended_before_its_window_is_busy(started: Started) -> None:
    """Else the stream could hold a worker while its slot is free for its next window."""
    verifier = started(finds)
    verifier.answer = verifier.hang

    with pytest.raises(errors.AttestationRefused):
        verifier.judge(Case())

    assert [worker.stopped for worker in verifier.workers[:2]].count(True) == 1
    assert verifier.made.replaced_workers == 1
    until(lambda: verifier.made.started_workers == 2)


def test_workers_that_died_while_idle_are_replaced(started: Started) -> None:
    verifier = started(finds)
    for worker in list(verifier.workers):
        worker.alive = False

    assert verifier.judge(Case()) == INVALID
    assert verifier.made.replaced_workers == 2


def test_before_the_start_windows_are_verified_here() -> None:
    verifier, case = Verifier(finds), Case()

    assert verifier.judge(case) == VALID
    assert (verifier.workers, verifier.made.started_workers) == ([], 0)


def test_while_no_worker_is_ready_windows_are_verified_here(verifiers: list[Verifier]) -> None:
    verifier = Verifier(finds)
    verifiers.append(verifier)

    def cannot(self: Worker, progress: object) -> None:
        raise errors.WorkerDied("no memory")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "wait_until_ready", cannot)
        verifier.made.start()
        until(lambda: len(verifier.workers) >= 2)
        assert verifier.judge(Case()) == VALID
    assert verifier.made.retried == 0


@pytest.mark.parametrize("size", [0, 1])
def test_without_workers_the_kernels_are_loaded_here(size: int) -> None:
    verifier, case = Verifier(finds, size), Case()
    verifier.made.start()

    assert verifier.judge(case) == VALID
    assert (verifier.loaded, verifier.workers) == (1, [])


def test_windows_are_counted_by_the_verifier_that_judged_them(started: Started) -> None:
    verifier = started(finds)
    verifier.judge(Case())
    verifier.answer = refuses
    with pytest.raises(errors.AttestationRefused):
        verifier.judge(Case())
    assert verifier.made.judged == {COMPILED: 2, PLAIN: 0}

    verifier.answer = dies
    verifier.judge(Case())  # in this process, which has loaded nothing
    assert verifier.made.judged == {COMPILED: 2, PLAIN: 1}


def test_windows_of_this_process_are_counted_by_the_verifier_in_use() -> None:
    verifier = Verifier(finds, size=1)
    verifier.judge(Case())
    compiled.use(cast(compiled.Compiled, object()))
    try:
        verifier.judge(Case())
    finally:
        compiled.use(None)

    assert verifier.made.judged == {COMPILED: 1, PLAIN: 1}


def test_closing_ends_all_workers_and_starts_no_other(started: Started) -> None:
    verifier, case = started(finds), Case()
    verifier.made.close()
    verifier.made.start()

    assert [worker.stopped for worker in verifier.workers] == [True, True]
    assert verifier.judge(case) == VALID
    assert verifier.made.started_workers == verifier.made.replaced_workers == 0


@pytest.mark.parametrize(
    ("cores", "free", "verifiers"),
    [
        (1, 100 * VERIFIER_BYTES, 1),
        (4, 100 * VERIFIER_BYTES, 4),
        (64, 100 * VERIFIER_BYTES, MAX_DEFAULT_VERIFIERS),
        (4, 3 * VERIFIER_BYTES, 3),
        (4, VERIFIER_BYTES - 1, 1),
        (4, 0, 1),
        (4, None, 4),
    ],
)
def test_the_default_follows_cores_and_memory(cores: int, free: int | None, verifiers: int) -> None:
    assert default_verifiers(lambda: cores, lambda: free) == verifiers
