"""Certified windows that do not come into the log show that the ledger makes nothing final."""

from __future__ import annotations

from dragon_stream.awaited_windows import LATE_SECONDS, AwaitedWindows
from simulation import Clock

STREAM, OTHER = bytes(32), bytes([1]) * 32


def test_windows_that_are_certified_but_not_final_are_late_after_thirty_seconds() -> None:
    clock = Clock(0.0)
    awaited = AwaitedWindows(lambda: clock.now)
    awaited.update(STREAM, 0, is_certified=True)
    clock.sleep(LATE_SECONDS)
    awaited.update(STREAM, 0, is_certified=True)
    awaited.update(OTHER, 4, is_certified=True)
    at_the_bound = awaited.late
    clock.sleep(10)

    assert at_the_bound == ""
    assert awaited.late == "2 windows certified, none finalized for 40 s"
    assert awaited.seconds == 40

    awaited.remove(STREAM, 0)
    assert awaited.late == ""
    clock.sleep(LATE_SECONDS + 1)
    assert awaited.late == "1 window certified, none finalized for 31 s"


def test_a_window_whose_certificate_is_gone_is_not_awaited() -> None:
    clock = Clock(0.0)
    awaited = AwaitedWindows(lambda: clock.now)
    awaited.update(STREAM, 0, is_certified=True)
    clock.sleep(LATE_SECONDS + 1)

    assert awaited.contains(STREAM, 0)
    assert not awaited.contains(STREAM, 7)
    awaited.update(STREAM, 0, is_certified=False)
    awaited.remove(STREAM, 7)

    assert not awaited.contains(STREAM, 0)
    assert (awaited.late, awaited.seconds) == ("", 0.0)


def test_the_windows_of_each_stream_are_counted() -> None:
    awaited = AwaitedWindows(lambda: 0.0)
    for number in range(3):
        awaited.update(STREAM, number, is_certified=True)
    awaited.update(STREAM, 2, is_certified=True)  # again
    awaited.update(STREAM, 7, is_certified=False)
    awaited.update(OTHER, 0, is_certified=True)
    for _ in range(2):
        awaited.remove(STREAM, 1)

    assert [awaited.count(each) for each in (STREAM, OTHER, b"\2" * 32)] == [2, 1, 0]
