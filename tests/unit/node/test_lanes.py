"""Threads for each kind of request, and turns for each address."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from dragon.node.lanes import HEALTH, Job, Lane, LaneQueue, Lanes

ONE = Lane("one", 1)
PATIENCE = 5.0  # seconds after which a thread of a failed test ends


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(_whole(test), 20))


async def _whole(test: Callable[[], Awaitable[None]]) -> None:
    await test()


class Work:
    """Jobs whose order is recorded. The first one occupies the only thread until `free`."""

    def __init__(self, queue: LaneQueue) -> None:
        self.queue, self.order, self.refused = queue, list[str](), list[str]()
        self._free, self._left = threading.Event(), 0
        self._all_done = asyncio.Event()
        self.submit("first", lambda: self._free.wait(PATIENCE))

    def submit(
        self, turn: str, work: Callable[[], object] = lambda: None, *, is_member: bool = False
    ) -> Job[object]:
        self._left += 1

        def done(_future: object) -> None:
            self.order.append(turn)
            self._finish()

        def refused() -> None:
            self.refused.append(turn)
            self._finish()

        job = Job[object](turn, work, done, refused, is_member)
        self.queue.submit(job)
        return job

    def cancel(self, job: Job[object]) -> None:
        self.queue.cancel(job)
        self._finish()

    def _finish(self) -> None:
        self._left -= 1
        if not self._left:
            self._all_done.set()

    async def free(self) -> list[str]:
        self._free.set()
        await self._all_done.wait()
        return self.order


def test_addresses_take_turns() -> None:
    async def test() -> None:
        work = Work(LaneQueue(ONE))
        for turn in ("many", "many", "many", "other", "third"):
            work.submit(turn)
        assert await work.free() == ["first", "many", "other", "third", "many", "many"]

    run(test)


def test_a_full_queue_refuses_the_newest_of_the_address_that_waits_most() -> None:
    async def test() -> None:
        work = Work(LaneQueue(ONE, max_waiting=3))
        for turn in ("many", "many", "many", "other"):
            work.submit(turn)
        assert work.refused == ["many"]
        assert await work.free() == ["first", "many", "other", "many"]

    run(test)


def test_a_full_queue_of_many_addresses_refuses_the_last_one_and_not_the_next() -> None:
    async def test() -> None:
        work = Work(LaneQueue(ONE, max_waiting=2))
        for turn in ("next", "second", "third", "fourth"):
            work.submit(turn)
        assert work.refused == ["third", "fourth"]
        assert await work.free() == ["first", "next", "second"]

    run(test)


def test_a_cancelled_job_is_never_run() -> None:
    async def test() -> None:
        work = Work(LaneQueue(ONE))
        job = work.submit("left")
        work.submit("stayed")
        work.cancel(job)
        assert await work.free() == ["first", "stayed"]

    run(test)


def test_strangers_take_no_place_of_members() -> None:
    async def test() -> None:
        work = Work(LaneQueue(ONE, max_waiting=2))
        for number in range(300):
            work.submit(f"stranger {number}")
        for number in range(2):
            work.submit(f"member {number}", is_member=True)
        assert work.refused == [f"stranger {number}" for number in range(2, 300)]
        assert await work.free() == ["first", "member 0", "member 1", "stranger 0", "stranger 1"]

    run(test)


def test_members_refuse_each_other_and_no_stranger() -> None:
    async def test() -> None:
        work = Work(LaneQueue(ONE, max_waiting=2))
        work.submit("stranger")
        for turn in ("many", "many", "other"):
            work.submit(turn, is_member=True)
        assert work.refused == ["many"]
        assert set(await work.free()) == {"first", "stranger", "many", "other"}

    run(test)


@pytest.mark.parametrize(("threads", "left"), [(1, 0), (2, 1), (4, 1), (8, 2), (64, 16)])
def test_strangers_leave_threads_to_members(threads: int, left: int) -> None:
    async def test() -> None:
        queue, free = LaneQueue(Lane("some", threads)), threading.Event()
        counts, done = {True: 0, False: 0}, asyncio.Event()

        def submit(*, is_member: bool) -> None:
            def finish(_future: object) -> None:
                counts[is_member] += 1
                if sum(counts.values()) == 2 * threads:
                    done.set()

            queue.submit(
                Job(str(is_member), lambda: free.wait(PATIENCE), finish, is_member=is_member)
            )

        for _ in range(threads):
            submit(is_member=False)
        assert queue.running == threads - left
        for _ in range(threads):
            submit(is_member=True)
        assert queue.running == threads
        free.set()
        await done.wait()

    run(test)


@pytest.mark.parametrize("is_member", [True, False])
def test_a_free_thread_serves_those_who_use_fewer(is_member: bool) -> None:
    """Of four threads, three serve members or strangers. A request of the others comes first."""

    async def test() -> None:
        queue, free, done = LaneQueue(Lane("some", 4)), threading.Event(), asyncio.Event()
        ending, order = threading.Event(), list[bool]()

        def submit(wait: threading.Event, *, of_member: bool) -> None:
            def work() -> None:
                order.append(of_member)
                wait.wait(PATIENCE)

            def finish(_future: object) -> None:
                if len(order) == 7 and not queue.running:
                    done.set()

            queue.submit(Job(str(of_member), work, finish, is_member=of_member))

        submit(ending, of_member=is_member)
        for of_member in (is_member, is_member, not is_member):
            submit(free, of_member=of_member)
        for of_member in (is_member, is_member, not is_member):
            submit(free, of_member=of_member)
        ending.set()  # two of one kind still run, and one of the other
        while len(order) < 5:
            await asyncio.sleep(0)
        free.set()
        await done.wait()
        assert order[4] is not is_member

    run(test)


def test_a_cancelled_job_of_a_member_is_never_run() -> None:
    async def test() -> None:
        work = Work(LaneQueue(ONE))
        work.cancel(work.submit("left", is_member=True))
        work.submit("stayed", is_member=True)
        assert await work.free() == ["first", "stayed"]

    run(test)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/status", "probe"),
        ("/status/x", "probe"),
        ("/statuses", "others"),
        ("/readyz", HEALTH.name),
        ("/events", "others"),
    ],
)
def test_a_path_belongs_to_one_lane(path: str, name: str) -> None:
    lanes = Lanes([Lane("probe", 1, ("/status",))], others=1)

    assert lanes.of(path).lane.name == name


def test_a_busy_lane_takes_no_thread_of_another() -> None:
    async def test() -> None:
        lanes = Lanes([Lane("probe", 1, ("/status",))], others=1)
        reads, probes = Work(lanes.of("/events")), LaneQueue(ONE)
        answered = asyncio.Event()
        lanes.of("/status").submit(Job[object]("x", lambda: None, lambda _: answered.set()))
        await answered.wait()
        assert reads.order == []
        await reads.free()
        assert probes.lane.threads == 1

    run(test)


def test_all_are_answered_although_no_further_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def test() -> None:
        work = Work(LaneQueue(Lane("two", 2)))
        monkeypatch.setattr(threading.Thread, "start", fail)
        for turn in ("second", "third"):
            work.submit(turn, is_member=True)
        assert await work.free() == ["first", "second", "third"]

    run(test)
