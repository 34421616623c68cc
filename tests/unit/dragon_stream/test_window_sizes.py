"""How many chunks a window gets, by the rate at which they arrive."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from dragon.encoding import Json
from dragon_stream.window_sizes import NO_BACKLOG, PACE_MS, Backlog, WindowSizes, may_adapt
from local_streams import cold_chain

SIZES = WindowSizes.adaptive(None, window_ms=5000)
PLACES = 4  # at the prover


def closed_windows(per_second: int, seconds: int, backlog: Backlog = NO_BACKLOG) -> list[int]:
    """The sizes of the windows of a stream with that rate. The pipeline looks every 100 ms."""
    windows, chunks, last_ms = list[int](), 0, None
    for now_ms in range(0, 1000 * seconds, 100):
        chunks += per_second * (now_ms + 100) // 1000 - per_second * now_ms // 1000
        elapsed_ms = None if last_ms is None else now_ms - last_ms
        while size := SIZES.full(chunks, elapsed_ms, backlog):
            windows.append(size)
            chunks, last_ms, elapsed_ms = chunks - size, now_ms, 0
    return windows


@dataclass
class Shared:
    """Streams with windows of a second at one service, which certifies one window at a time.

    A window takes it 100 ms, and one more for each chunk.
    """

    streams: int
    now_ms: int = 0
    queue: list[tuple[int, int, int]] = field(default_factory=list)  # stream, chunks, when closed
    spare_ms: int = 0
    largest_queue: int = 0
    closed: list[int] = field(default_factory=list)  # chunks of windows
    waited_ms: list[int] = field(default_factory=list)  # from closing to the certificate

    def __post_init__(self) -> None:
        self.sizes = WindowSizes.adaptive(None, window_ms=1000)
        self.open = [0] * self.streams
        self.last_ms: list[int | None] = [None] * self.streams
        self.began_ms = [0] * self.streams

    def run(self, per_second: int, seconds: int) -> Shared:
        """Each stream gets that many chunks a second. Forgets earlier windows."""
        self.largest_queue, self.closed, self.waited_ms = 0, [], []
        for _ in range(10 * seconds):
            self.now_ms += 100
            for stream in range(self.streams):
                if not self.open[stream]:
                    self.began_ms[stream] = self.now_ms
                self.open[stream] += per_second // 10
                self._close(stream)
            self.largest_queue = max(self.largest_queue, len(self.queue))
            self._certify()
        return self

    def _close(self, stream: int) -> None:
        queued = sum(each == stream for each, _, _ in self.queue)
        backlog = Backlog(queued, len(self.queue) >= PLACES)
        last_ms, chunks = self.last_ms[stream], self.open[stream]
        size = self.sizes.full(chunks, None if last_ms is None else self.now_ms - last_ms, backlog)
        if not size and self.now_ms - self.began_ms[stream] >= 1000:
            size = chunks if self.sizes.may_expire(backlog) else 0
        if size:
            self.queue.append((stream, size, self.now_ms))
            self.closed.append(size)
            self.open[stream], self.last_ms[stream] = chunks - size, self.now_ms
            self.began_ms[stream] = self.now_ms

    def _certify(self) -> None:
        self.spare_ms = self.spare_ms + 100 if self.queue else 0
        while self.queue and self.spare_ms >= 100 + self.queue[0][1]:
            _, chunks, closed_ms = self.queue.pop(0)
            self.spare_ms -= 100 + chunks
            self.waited_ms.append(self.now_ms - closed_ms)


def test_the_sizes_fill_a_proof() -> None:
    assert SIZES.sizes == (63, 127, 255, 511, 1023)
    assert SIZES.pace_ms == PACE_MS


@pytest.mark.parametrize("rate", [10, 100, 127, 200, 500, 1000])
def test_a_stream_makes_at_most_two_windows_a_second(rate: int) -> None:
    windows = closed_windows(rate, 60)

    assert len(windows) <= 2 * 60 + 1
    assert rate * 60 - sum(windows) < 63 + rate  # none waits for ever
    assert all(63 <= size <= 1023 for size in windows)


def test_beyond_the_largest_size_there_are_more_windows() -> None:
    assert closed_windows(10_000, 10)[-90:] == [1023] * 90


def test_a_window_gets_all_chunks_of_half_a_second() -> None:
    assert set(closed_windows(100, 60)) == {70}  # 63 chunks take longer
    assert set(closed_windows(400, 60)[1:]) == {200}
    assert set(closed_windows(1900, 60)[3:]) == {950}


@pytest.mark.parametrize("backlog", [Backlog(1), Backlog(0, is_long=True)])
def test_a_window_that_would_wait_behind_others_grows_to_the_largest_size(
    backlog: Backlog,
) -> None:
    assert set(closed_windows(400, 60, backlog)) == {1023}


def test_a_window_that_is_old_waits_only_behind_several() -> None:
    alone = [SIZES.may_expire(Backlog(queued)) for queued in range(5)]
    among_many = [SIZES.may_expire(Backlog(queued, is_long=True)) for queued in range(3)]

    assert alone == [True, True, True, False, False]
    assert among_many == [True, False, False]
    assert WindowSizes.fixed(63).may_expire(Backlog(100, is_long=True))


def test_windows_of_a_service_with_little_to_do_are_small_and_certified_at_once() -> None:
    found = Shared(2).run(per_second=130, seconds=60)

    assert max(found.closed) <= 2 * 65
    assert max(found.waited_ms) <= 600
    assert len(found.closed) <= 2 * (2 * 60 + 1)


@pytest.mark.parametrize(("streams", "per_second"), [(4, 200), (8, 80), (16, 40), (20, 40)])
def test_the_queue_of_a_service_with_too_many_windows_does_not_grow(
    streams: int, per_second: int
) -> None:
    """Windows of a second would need more than all of its time."""
    assert streams * (100 + per_second) > 1000
    shared = Shared(streams)
    shared.run(per_second, seconds=120)
    later = shared.run(per_second, seconds=120)

    assert later.largest_queue <= PLACES + streams
    assert sum(later.closed) >= streams * per_second * 115
    assert max(later.closed) > per_second
    assert max(later.waited_ms) <= (PLACES + streams) * (100 + 1023)


def test_windows_shrink_again_when_the_rate_falls() -> None:
    shared = Shared(8)
    assert max(shared.run(per_second=90, seconds=120).closed) > 100

    shared.run(per_second=10, seconds=60)

    assert max(shared.run(per_second=10, seconds=30).closed) <= 20


def test_a_clock_that_was_set_back_delays_no_window() -> None:
    assert SIZES.full(63, -3_600_000) == 63


def test_a_fixed_size_knows_no_pace() -> None:
    fixed = WindowSizes.fixed(63)

    assert [fixed.full(chunks, 0, Backlog(100)) for chunks in (62, 63, 64, 1000)] == [0, 63, 63, 63]


def test_short_windows_have_a_short_pace() -> None:
    """The owner wants a window every 100 ms, whatever the rate."""
    assert WindowSizes.adaptive(None, window_ms=100).full(63, 100) == 63


def test_readings_leave_place_for_the_carried_one() -> None:
    def sizes(**readings: Json) -> tuple[int, ...]:
        return WindowSizes.adaptive(cold_chain(**readings), 5000).sizes

    assert sizes(most=4095) == (62, 126, 254, 510, 1022)
    assert sizes(most=1022) == (62, 126, 254, 510)
    assert sizes(most=63) == (62,)
    assert sizes(most=20) == (19,)
    assert sizes(most=127, carry=False, fall="600", rise="600") == (63, 127)


def test_a_bound_on_the_total_of_a_window_needs_a_fixed_size() -> None:
    total: Json = {"kind": "total", "low": "0", "high": "50000"}

    assert may_adapt(None)
    assert may_adapt(cold_chain())
    assert not may_adapt(cold_chain(sum=total))
