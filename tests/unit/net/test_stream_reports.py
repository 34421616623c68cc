"""Which windows a period takes: those with a chunk in it, as far as a mark covers them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from committees import make_members
from dragon import errors
from dragon.net.http_client import HttpClient
from dragon.net.log_client import CertifiedHead, LogClient
from dragon.net.stream_client import StreamClient
from dragon.net.stream_reports import find_windows
from dragon.net.stream_windows import ServedWindow, StreamWindows
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.log_entry import LogEntry, ProvenEntry
from dragon.protocol.streams.descriptor import Descriptor
from streams import make_owner
from wsgi import WsgiAdapter

MEMBERS = make_members(3)
OWNER = make_owner(MEMBERS)
HEADER = OWNER.window([b"a"]).header
HTTP = HttpClient(WsgiAdapter().session())
MARK = MEMBERS.certify(
    CheckpointClaim(9, bytes(32), MEMBERS.committee.rounds.start(9)), MEMBERS.secrets
)


@dataclass(slots=True)
class Windows(StreamWindows):
    """Windows with given times of arrival (milliseconds) and positions in the log."""

    times: list[tuple[int, int]]
    positions: list[int | None]

    def descriptor(self) -> tuple[Descriptor, int]:
        return OWNER.descriptor, len(self.times)

    def window(self, number: int) -> ServedWindow:
        first, last = self.times[number]
        header = replace(HEADER, number=number, first_received_ms=first, last_received_ms=last)
        return ServedWindow(header, b"", None, self.positions[number])


@dataclass(slots=True)
class Log(LogClient):
    """A log of which the first `size` entries are certified."""

    size: int

    def certified(self) -> CertifiedHead | None:
        return CertifiedHead(self.size, 0) if self.size else None

    def anchored(self, position: int) -> ProvenEntry | None:
        return ProvenEntry(LogEntry(position, MARK, 0), self.size, bytes(32), (), MARK)


def windows(times: list[tuple[int, int]], positions: list[int | None] | None = None) -> Windows:
    client = StreamClient("http://streams:80", HTTP)
    return Windows(client, "0x", times, positions or list(range(len(times))))


def log(size: int) -> Log:
    return Log(HTTP, {}, size)


# Window n arrives from 10·n to 10·n + 5 seconds.
TIMES = [(10_000 * number, 10_000 * number + 5_000) for number in range(6)]


@pytest.mark.parametrize(
    ("period", "first", "last", "following"),
    [
        ((0, 60), 0, 5, None),
        ((5, 6), 0, 0, 1),  # its last chunk arrived in the first second of the period
        ((0, 10), 0, 0, 1),  # the first chunk of window 1 arrived when the period had ended
        ((0, 11), 0, 1, 2),
        ((16, 21), 2, 2, 3),
        ((22, 23), 2, 2, 3),  # between two chunks of a window
    ],
)
def test_the_borders_of_a_period(
    period: tuple[int, int], first: int, last: int, following: int | None
) -> None:
    found = find_windows(windows(TIMES), log(6), *period)

    assert (found.first, found.last, found.following, found.uncovered) == (
        first,
        last,
        following,
        0,
    )


@pytest.mark.parametrize("period", [(6, 10), (56, 60), (100, 200)])
def test_a_period_without_a_chunk_has_no_window(period: tuple[int, int]) -> None:
    with pytest.raises(errors.NotFound, match="No closed window"):
        find_windows(windows(TIMES), log(6), *period)


def test_windows_without_a_mark_are_counted() -> None:
    found = find_windows(windows(TIMES, [0, 1, 2, 3, None, None]), log(3), 0, 60)

    assert (found.first, found.last, found.following, found.uncovered) == (0, 2, None, 3)
    with pytest.raises(errors.NotFound, match="covers window 3"):
        find_windows(windows(TIMES), log(3), 30, 60)
    with pytest.raises(errors.NotFound, match="covers window 0"):
        find_windows(windows(TIMES), log(0), 0, 60)


@given(st.data())
def test_the_windows_found_are_those_counted_one_by_one(data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.integers(0, 9_000), min_size=2, max_size=24))
    moments = [sum(steps[: index + 1]) for index in range(len(steps) - len(steps) % 2)]
    times = list(zip(moments[::2], moments[1::2], strict=True))
    begin = data.draw(st.integers(0, 40))
    end = data.draw(st.integers(begin + 1, begin + 60))
    size = data.draw(st.integers(1, len(times)))
    wanted = [
        number
        for number, (first, last) in enumerate(times)
        if last >= 1000 * begin and first < 1000 * end
    ]
    covered = [each for each in wanted if each < size]

    try:
        found: Any = find_windows(windows(times), log(size), begin, end)
    except errors.NotFound:
        assert not covered
        return
    assert list(range(found.first, found.last + 1)) == covered
    assert found.uncovered == len(wanted) - len(covered)
    assert found.following in (None, found.last + 1)
