"""Threads that run calls and give the results to the event loop."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable

import pytest

from dragon.node.lane_threads import Finished, LaneThreads

PATIENCE = 5.0  # seconds after which a thread of a failed test ends


def run(threads: LaneThreads, *works: Callable[[], object]) -> list[Finished[object]]:
    """Run works at the same time, and return what came of them, in the order of their ends."""

    async def test() -> list[Finished[object]]:
        outcomes, ended = list[Finished[object]](), asyncio.Event()

        def done(outcome: Finished[object]) -> None:
            outcomes.append(outcome)
            if len(outcomes) == len(works):
                ended.set()

        for running, work in enumerate(works, start=1):
            threads.submit(work, done, running=running)
        await asyncio.wait_for(ended.wait(), PATIENCE)
        return outcomes

    return asyncio.run(test())


def names() -> set[str]:
    return {each.name for each in threading.enumerate()}


def test_a_result_comes_to_the_event_loops_thread() -> None:
    [outcome] = run(LaneThreads(1, "some"), threading.get_ident)

    assert outcome.exception() is None
    assert outcome.result() != threading.get_ident()


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_an_error_belongs_to_its_call_and_the_thread_goes_on(error: BaseException) -> None:
    threads = LaneThreads(1, "some")

    def fail() -> None:
        raise error

    [failed] = run(threads, fail)
    [further] = run(threads, lambda: 7)

    assert failed.exception() is error
    with pytest.raises(type(error)):
        failed.result()
    assert further.result() == 7


def test_threads_are_started_when_they_are_needed() -> None:
    threads, meeting = LaneThreads(3, "needed"), threading.Barrier(2, timeout=PATIENCE)
    for _ in range(3):
        run(threads, lambda: None)
    assert names() & {"needed_0", "needed_1", "needed_2"} == {"needed_0"}

    run(threads, meeting.wait, meeting.wait)
    assert names() & {"needed_0", "needed_1", "needed_2"} == {"needed_0", "needed_1"}


def test_no_more_threads_are_started_than_allowed() -> None:
    threads = LaneThreads(2, "allowed")

    outcomes = run(threads, *(lambda: threading.current_thread().name for _ in range(8)))

    assert {outcome.result() for outcome in outcomes} <= {"allowed_0", "allowed_1"}


def test_threads_end_when_their_owner_is_forgotten() -> None:
    threads = LaneThreads(2, "forgotten")
    run(threads, lambda: None)
    [thread] = [each for each in threading.enumerate() if each.name == "forgotten_0"]

    del threads
    gc.collect()

    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_call_that_outlives_its_event_loop_does_no_harm() -> None:
    threads, free = LaneThreads(1, "some"), threading.Event()

    async def leave() -> None:
        threads.submit(lambda: free.wait(PATIENCE), lambda _: None, running=1)

    asyncio.run(leave())
    free.set()

    assert [outcome.result() for outcome in run(threads, lambda: 7)] == [7]
