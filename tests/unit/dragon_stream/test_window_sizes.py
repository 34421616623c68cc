"""How many chunks a window gets, by the rate at which they arrive."""

from __future__ import annotations

import pytest

from dragon.encoding import Json
from dragon_stream.window_sizes import PACE_MS, WindowSizes, may_adapt
from local_streams import cold_chain

SIZES = WindowSizes.adaptive(None, window_ms=5000)


def closed_windows(per_second: int, seconds: int, *, uncertified: int = 0) -> list[int]:
    """The sizes of the windows of a stream with that rate. The pipeline looks every 100 ms."""
    windows, waiting, last_ms = list[int](), 0, None
    for now_ms in range(0, 1000 * seconds, 100):
        waiting += per_second * (now_ms + 100) // 1000 - per_second * now_ms // 1000
        elapsed_ms = None if last_ms is None else now_ms - last_ms
        while size := SIZES.full(waiting, elapsed_ms, uncertified):
            windows.append(size)
            waiting, last_ms, elapsed_ms = waiting - size, now_ms, 0
    return windows


def test_the_sizes_fill_a_proof() -> None:
    assert SIZES.sizes == (63, 127, 255, 511, 1023)
    assert SIZES.pace_ms == PACE_MS


@pytest.mark.parametrize("rate", [10, 100, 127, 200, 500, 1000])
def test_a_stream_makes_at_most_two_windows_a_second(rate: int) -> None:
    windows = closed_windows(rate, 60)

    assert len(windows) <= 2 * 60 + 1
    assert rate * 60 - sum(windows) < 1023 + rate  # none waits for ever
    assert set(windows) <= set(SIZES.sizes)


def test_beyond_the_largest_size_there_are_more_windows() -> None:
    assert closed_windows(10_000, 10)[-90:] == [1023] * 90


def test_the_windows_are_those_that_the_rate_fills_in_half_a_second() -> None:
    assert set(closed_windows(100, 60)) == {63}
    assert set(closed_windows(400, 60)[1:]) <= {127, 255}
    assert set(closed_windows(1900, 60)[3:]) <= {511, 1023}


def test_windows_that_would_wait_for_certification_become_larger() -> None:
    few, many = closed_windows(400, 60), closed_windows(400, 60, uncertified=12)

    assert sum(few) - 1023 <= sum(many)
    assert len(many) < len(few) / 3
    assert max(many) == 1023


def test_a_clock_that_was_set_back_delays_no_window() -> None:
    assert SIZES.full(63, -3_600_000) == 63


def test_a_fixed_size_knows_no_pace() -> None:
    fixed = WindowSizes.fixed(63)

    assert [fixed.full(waiting, 0, 100) for waiting in (62, 63, 64, 1000)] == [0, 63, 63, 63]


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
