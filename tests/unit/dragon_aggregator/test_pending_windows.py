"""Places of pending windows: new streams take none of a known stream, and repetitions keep none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import Mock

import pytest

from committees import make_members
from dragon.errors import Busy
from dragon.protocol.claims.stream_state import StreamState
from dragon.protocol.state import State
from dragon.protocol.streams.chunks import ChunkHeader
from dragon.protocol.streams.submission import Submission, WindowObjects
from dragon.protocol.streams.window import WindowHeader, close
from dragon_aggregator.pending_windows import (
    IDLE_SECONDS,
    MAX_KNOWN_STREAMS,
    MAX_NEW_STREAMS,
    MAX_NEW_WITHOUT_OBJECTS,
    NEW_IDLE_SECONDS,
    UPLOAD_SECONDS,
    PendingWindows,
    Window,
)
from simulation import Clock
from streams import make_owner

OWNER = make_owner(make_members())
HEADER = close(OWNER.descriptor, None, [ChunkHeader(0, 1, 1, OWNER.descriptor.identity)])


class _Descriptor:
    """A descriptor with any id: to derive thousands of keys would take minutes."""

    def __init__(self, stream: bytes) -> None:
        self.id = stream


def window(stream: bytes, *, complete: bool = False, number: int = 0) -> Window:
    header: WindowHeader = replace(HEADER, stream=stream, number=number)
    objects = WindowObjects(stream, header.hash, bytes(32), bytes(32)) if complete else None
    submission = Submission(_Descriptor(stream), header, b"", objects)  # type: ignore[arg-type]
    return Window(submission, "voting" if complete else "announced")


def known(number: int) -> bytes:
    return b"k" + number.to_bytes(31, "big")


def new(number: int) -> bytes:
    return b"n" + number.to_bytes(31, "big")


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def penalized() -> set[bytes]:
    return set()


@pytest.fixture
def pending(clock: Clock, penalized: set[bytes]) -> PendingWindows:
    return PendingWindows(
        lambda stream: stream.startswith(b"k"),
        following=lambda _: 0,
        is_penalized=lambda stream: stream in penalized,
        monotonic=lambda: clock.now,
    )


def add_complete(pending: PendingWindows, stream: bytes) -> Window:
    """Submit a window, and upload its objects."""
    added = window(stream, complete=True)
    pending.add(added)
    pending.admit_objects(stream)
    pending.note_stored(stream)
    return added


def is_busy(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except Busy as refused:
        return bool(refused.facts["retry_after"])
    return False


def present(pending: PendingWindows, *streams: bytes) -> list[bytes]:
    return [stream for stream in streams if pending.get(stream, 0)]


def test_announcements_of_new_streams_take_no_place_of_others(pending: PendingWindows) -> None:
    """64 signed headers without objects once kept everybody else out."""
    add_complete(pending, new(0))
    for number in range(1, 10 * MAX_NEW_WITHOUT_OBJECTS):
        pending.add(window(new(number)))

    for number in range(MAX_KNOWN_STREAMS):
        pending.add(window(known(number)))
    for number in range(10_000, 10_000 + MAX_NEW_STREAMS - 1):
        add_complete(pending, new(number))

    assert present(pending, new(0), known(0), new(1)) == [new(0), known(0)]
    assert pending.counts() == (MAX_KNOWN_STREAMS, MAX_NEW_WITHOUT_OBJECTS + MAX_NEW_STREAMS - 1)


def test_new_streams_with_objects_have_few_places(pending: PendingWindows) -> None:
    for number in range(MAX_NEW_STREAMS):
        add_complete(pending, new(number))

    assert is_busy(lambda: add_complete(pending, new(99)))
    add_complete(pending, known(1))
    assert present(pending, *map(new, range(MAX_NEW_STREAMS)), known(1)) == [
        *map(new, range(MAX_NEW_STREAMS)),
        known(1),
    ]


@pytest.mark.parametrize("repeated", [True, False])
def test_a_new_stream_without_progress_is_replaced(
    pending: PendingWindows, clock: Clock, *, repeated: bool
) -> None:
    """Whether its owner repeats the submission or not."""
    for number in range(MAX_NEW_STREAMS):
        add_complete(pending, new(number))
        clock.sleep(0.01)
    for _ in range(100):
        clock.sleep(NEW_IDLE_SECONDS / 100)
        if repeated:
            pending.add(window(new(0), complete=True))
            pending.admit_objects(new(0))

    add_complete(pending, new(99))

    assert present(pending, new(0), new(1), new(99)) == [new(1), new(99)]


def test_objects_that_do_not_come_lose_their_place(pending: PendingWindows, clock: Clock) -> None:
    for number in range(MAX_NEW_STREAMS):
        pending.add(window(new(number)))
        pending.admit_objects(new(number))

    assert is_busy(lambda: add_complete(pending, new(99)))
    clock.sleep(UPLOAD_SECONDS + 0.1)
    add_complete(pending, new(99))


def test_an_invalid_window_of_a_new_stream_is_replaced_at_once(pending: PendingWindows) -> None:
    windows = [add_complete(pending, new(number)) for number in range(MAX_NEW_STREAMS)]
    windows[3].state = "invalid"

    add_complete(pending, new(99))

    assert present(pending, new(3), new(4), new(99)) == [new(4), new(99)]


def test_a_known_stream_without_objects_gives_way_to_another_known_one(
    pending: PendingWindows, clock: Clock
) -> None:
    for number in range(MAX_KNOWN_STREAMS):
        pending.add(window(known(number), complete=number != 5))

    pending.add(window(known(99), complete=True))
    assert present(pending, known(5), known(99)) == [known(99)]

    assert is_busy(lambda: pending.add(window(known(100), complete=True)))
    clock.sleep(IDLE_SECONDS)
    pending.add(window(known(100), complete=True))


def test_a_known_stream_whose_next_window_is_missing_gives_way(pending: PendingWindows) -> None:
    """Its windows behind the gap are complete, but are never voted on."""
    for number in range(MAX_KNOWN_STREAMS):
        pending.add(window(known(number), complete=True, number=1 if number == 5 else 0))

    pending.add(window(known(99), complete=True))

    assert pending.get(known(5), 1) is None
    assert is_busy(lambda: pending.add(window(known(100), complete=True)))


def test_a_known_stream_with_an_invalid_window_gives_way_while_it_waits(
    pending: PendingWindows, penalized: set[bytes]
) -> None:
    for number in range(MAX_KNOWN_STREAMS):
        pending.add(window(known(number), complete=True))
    penalized.add(known(5))

    pending.add(window(known(99), complete=True))

    assert present(pending, known(5), known(6), known(99)) == [known(6), known(99)]


def test_more_windows_and_objects_keep_no_place_of_a_known_stream(
    pending: PendingWindows, clock: Clock
) -> None:
    for number in range(MAX_KNOWN_STREAMS):
        pending.add(window(known(number), complete=True))
    for number in range(10):
        clock.sleep(IDLE_SECONDS / 10)
        pending.add(window(known(0), complete=True, number=number))
        pending.note_stored(known(0))

    pending.add(window(known(99), complete=True))

    assert present(pending, known(0), known(1), known(99)) == [known(1), known(99)]


def test_a_window_in_the_log_keeps_the_place_of_its_stream(
    pending: PendingWindows, clock: Clock
) -> None:
    for number in range(MAX_KNOWN_STREAMS):
        pending.add(window(known(number), complete=True))
        pending.add(window(known(number), complete=True, number=1))
    clock.sleep(IDLE_SECONDS)
    claim = Mock(number=0)
    pending.drop_applied(State(streams={known(0): StreamState(last=claim)}))
    pending.add(window(known(0), complete=True))  # `following` is 0 here

    for number in range(100, 100 + MAX_KNOWN_STREAMS - 1):
        pending.add(window(known(number), complete=True))

    assert is_busy(lambda: pending.add(window(known(200), complete=True)))
    assert present(pending, known(0), known(1)) == [known(0)]


def test_a_new_stream_behind_a_gap_keeps_no_place_with_more_objects(
    pending: PendingWindows, clock: Clock
) -> None:
    for number in range(MAX_NEW_STREAMS):
        pending.add(window(new(number), complete=True, number=1))
        pending.admit_objects(new(number))
    for _ in range(20):
        clock.sleep(0.9 * UPLOAD_SECONDS)
        for number in range(MAX_NEW_STREAMS):
            pending.note_stored(new(number))

    add_complete(pending, new(99))

    assert present(pending, new(99)) == [new(99)]


def test_a_new_stream_with_an_invalid_window_gives_way_while_it_waits(
    pending: PendingWindows, penalized: set[bytes]
) -> None:
    """It submits its next window at once, and would keep its place with false proofs."""
    for number in range(MAX_NEW_STREAMS):
        add_complete(pending, new(number))
    penalized.add(new(3))
    pending.note_stored(new(3))

    pending.check_room(new(99))
    add_complete(pending, new(99))

    assert present(pending, new(3), new(99)) == [new(99)]


def test_windows_in_the_log_are_removed(pending: PendingWindows) -> None:
    added = [window(known(0), complete=True, number=number) for number in range(5)]
    for each in added:
        pending.add(each)

    last = Mock(number=3)
    dropped = pending.drop_applied(State(streams={known(0): StreamState(last=last)}))

    assert dropped == added[:4]
    assert pending.all() == added[4:]


def test_an_announcement_uses_up_none_of_the_time_for_objects(
    pending: PendingWindows, clock: Clock
) -> None:
    for number in range(MAX_NEW_STREAMS):
        pending.add(window(new(number)))
    clock.sleep(NEW_IDLE_SECONDS + 1)
    for number in range(MAX_NEW_STREAMS):
        pending.add(window(new(number), complete=True))
        pending.admit_objects(new(number))

    assert is_busy(lambda: add_complete(pending, new(99)))


def test_one_thread_at_a_time_works_on_a_stream(pending: PendingWindows) -> None:
    add_complete(pending, known(1))

    assert list(pending.begin(known=True, most=8)) == [known(1)]
    assert list(pending.begin(known=True, most=8)) == []
    pending.finish(known(1))
    assert list(pending.begin(known=True, most=8)) == [known(1)]


def test_the_streams_that_waited_for_longest_are_begun_first(
    pending: PendingWindows, clock: Clock
) -> None:
    for number in range(5):
        add_complete(pending, new(number))
    begun = []
    for _ in range(10):
        begun += pending.begin(known=False, most=1)
        pending.finish(begun[-1])
        clock.sleep(1)

    assert begun == [new(number % 5) for number in range(10)]
    assert list(pending.begin(known=True, most=8)) == []
