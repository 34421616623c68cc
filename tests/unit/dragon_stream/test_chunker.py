"""Accepting data: where chunks are cut, when they are acknowledged, when a window is due."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from dragon import errors
from dragon.stark.commitment import NO_READING
from dragon_stream.chunker import BYTES_MODE, MESSAGE_MODE, Chunker
from dragon_stream.damage import Damage
from dragon_stream.records import Chunk
from dragon_stream.segments import Segments
from dragon_stream.store import StreamRow
from dragon_stream.window_sizes import Backlog, WindowSizes
from dragon_stream.writer import Destination, Writer
from local_streams import cold_chain

Make = Callable[..., "Case"]


@dataclass(eq=False)
class Source:
    accepted: list[tuple[int, int]] = field(default_factory=list)
    replaced_because: str = ""
    lost_because: str = ""

    def on_accepted(self, sequence: int, total: int) -> None:
        self.accepted.append((sequence, total))

    def on_replaced(self, reason: str) -> None:
        self.replaced_because = reason

    def on_lost(self, error: errors.DiskError) -> None:
        self.lost_because = str(error)

    def on_capacity(self) -> None:
        self.accepted.append((-1, -1))


class RecordingWriter(Writer):
    """Remembers the chunks that are not written yet."""

    def __init__(self) -> None:
        super().__init__()
        self.queued: list[Chunk] = []

    def put(self, destination: Destination, chunk: Chunk) -> None:
        self.queued.append(chunk)
        super().put(destination, chunk)

    def step(self) -> None:
        super().step()
        self.queued.clear()


@dataclass
class Case:
    """A chunker with a clock and a writer that the test controls."""

    chunker: Chunker
    writer: RecordingWriter
    source: Source
    clock: list[int]
    full_windows: list[Chunker]
    segments: Segments

    def feed(self, *pieces: bytes, finished: bool = True) -> None:
        for piece in pieces:
            self.chunker.feed(self.source, piece, finished=finished)

    def cut(self) -> list[bytes]:
        """The chunks that are cut and not written yet."""
        return [chunk.data for chunk in self.writer.queued]

    def due(self) -> list[int]:
        return [chunk.sequence for chunk in self.chunker.due_chunks(self.clock[0])]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(
        mode: str = BYTES_MODE,
        *,
        chunk: int = 10,
        window: int = 3,
        ms: int = 1000,
        sizes: WindowSizes | None = None,
    ) -> Case:
        row = StreamRow(*(bytes(32), "s", bytes(32), "standard", chunk, window, ms, mode, 60, 0))
        clock, full_windows, writer = [5000], list[Chunker](), RecordingWriter()
        segments = Segments(tmp_path / mode)
        chunker = Chunker(
            *(row, segments, writer, lambda: clock[0], full_windows.append), sizes=sizes
        )
        source = Source()
        chunker.attach(source)
        return Case(chunker, writer, source, clock, full_windows, segments)

    return made


def test_a_byte_stream_ignores_frame_borders(make: Make) -> None:
    case = make()

    case.feed(b"0123", b"45678901234", b"5", finished=False)

    assert case.cut() == [b"0123456789"]
    case.feed(b"x" * 34)
    assert case.cut() == [b"0123456789", b"012345" + b"x" * 4, b"x" * 10, b"x" * 10, b"x" * 10]


def test_a_message_stream_makes_one_chunk_of_each_frame(make: Make) -> None:
    case = make(MESSAGE_MODE)

    case.feed(b"21.", finished=False)
    case.feed(b"5")
    case.feed(b"", b"21.7")

    assert case.cut() == [b"21.5", b"", b"21.7"]


def test_a_message_is_refused_as_soon_as_it_exceeds_the_limit(make: Make) -> None:
    case = make(MESSAGE_MODE)
    case.feed(b"x" * 10, finished=False)

    with pytest.raises(errors.TooLarge) as refused:
        case.feed(b"x", finished=False)

    assert refused.value.facts["most"] == 10
    assert case.cut() == []


def test_chunks_are_acknowledged_only_after_they_are_written(make: Make) -> None:
    case = make()
    case.feed(b"x" * 25)
    assert case.source.accepted == []
    assert (case.chunker.sequence, case.chunker.total) == (0, 0)

    case.writer.step()

    assert case.source.accepted == [(2, 20)]
    assert [chunk.length for chunk in case.segments.recover().stored] == [10, 10]


def test_flush_cuts_a_chunk_from_the_data_so_far(make: Make) -> None:
    case = make()
    case.feed(b"short")

    assert case.chunker.flush(case.source) == 1
    assert case.chunker.flush(case.source) == 1  # no data was added

    case.writer.step()
    assert case.source.accepted == [(1, 5)]


def test_a_window_is_due_when_it_is_full(make: Make) -> None:
    case = make()
    case.feed(b"x" * 29)
    case.writer.step()
    assert case.due() == []
    assert case.full_windows == []

    case.feed(b"x")
    case.writer.step()

    assert case.due() == [0, 1, 2]
    assert case.full_windows == [case.chunker]


def test_a_window_is_due_when_its_time_has_passed(make: Make) -> None:
    """Its time begins with its first byte; the remaining data becomes its last chunk."""
    case = make()
    case.clock[0] = 9000
    case.feed(b"few")
    case.clock[0] = 9999
    assert case.due() == []
    assert case.cut() == []

    case.clock[0] = 10_000
    assert case.due() == []  # the last chunk was just cut and is not written yet
    case.writer.step()

    assert case.due() == [0]


def test_the_time_of_the_next_window_begins_with_its_first_data(make: Make) -> None:
    case = make(window=2)
    case.feed(b"x" * 25)
    case.writer.step()
    assert case.due() == [0, 1]
    case.clock[0] += 700
    case.chunker.window_closed(2)

    case.clock[0] += 999
    assert case.due() == []
    case.clock[0] += 1
    case.due()
    case.writer.step()
    assert case.due() == [2]


# -- adaptive windows ----------------------------------------------------------------------------

GROWING = WindowSizes((2, 4, 8), pace_ms=500)


def send(case: Case, messages: int) -> None:
    """Messages of a byte each that are on disk at once."""
    case.feed(*[b"x"] * messages)
    case.writer.step()


def close(case: Case) -> int:
    """Close the window that is due. Return its chunks."""
    if due := case.due():
        case.chunker.window_closed(len(due))
    return len(due)


def test_windows_grow_and_shrink_with_the_rate(make: Make) -> None:
    case = make(MESSAGE_MODE, sizes=GROWING)
    send(case, 2)
    assert close(case) == 2  # the first one is full at once

    closed = []
    for messages in (1, 2, 3, 2, 1, 1, 0):  # every 250 ms
        case.clock[0] += 250
        send(case, messages)
        closed.append(close(case))

    assert closed == [0, 3, 0, 5, 0, 2, 0]


def test_a_window_of_the_largest_size_never_waits(make: Make) -> None:
    case = make(MESSAGE_MODE, sizes=GROWING)
    send(case, 30)

    assert case.chunker.pending_windows == 3
    assert [close(case) for _ in range(4)] == [8, 8, 8, 0]
    send(case, 2)  # they make 8 with the other six
    assert close(case) == 8
    assert case.chunker.pending_windows == 0


def test_a_window_that_is_old_need_not_be_full(make: Make) -> None:
    case = make(MESSAGE_MODE, sizes=GROWING, ms=1000)
    send(case, 2)
    close(case)
    send(case, 5)
    case.clock[0] += 999
    assert case.chunker.due_chunks(case.clock[0], Backlog(2)) == []

    case.clock[0] += 1

    assert len(case.chunker.due_chunks(case.clock[0], Backlog(2))) == 5


def test_a_window_waits_behind_three_others_until_it_has_the_largest_size(make: Make) -> None:
    case = make(MESSAGE_MODE, sizes=GROWING, ms=1000)
    send(case, 7)
    case.clock[0] += 60_000
    assert case.chunker.due_chunks(case.clock[0], Backlog(3)) == []
    assert case.chunker.due_chunks(case.clock[0], Backlog(1, is_long=True)) == []
    assert len(case.chunker.due_chunks(case.clock[0], Backlog(2))) == 7
    assert len(case.chunker.due_chunks(case.clock[0], Backlog(0, is_long=True))) == 7

    send(case, 1)

    assert len(case.chunker.due_chunks(case.clock[0], Backlog(3))) == 8


def test_a_window_that_its_source_ends_waits_behind_none(make: Make) -> None:
    case = make(MESSAGE_MODE, sizes=GROWING, ms=1000)
    send(case, 1)
    case.chunker.end_window(case.source)

    assert len(case.chunker.due_chunks(case.clock[0], Backlog(9))) == 1


def test_chunks_that_are_still_written_do_not_hold_back_a_window_of_the_smallest_size(
    make: Make,
) -> None:
    """Of a source that never pauses, some chunks are always on their way to the disk."""
    case = make(MESSAGE_MODE, sizes=GROWING, ms=1000)
    send(case, 3)
    case.feed(b"later")
    case.clock[0] += 1000

    assert len(case.chunker.due_chunks(case.clock[0], Backlog(1))) == 3


def test_the_pipeline_is_woken_once_for_each_size(make: Make) -> None:
    case = make(MESSAGE_MODE, sizes=GROWING)
    woken = []
    for _ in range(9):
        send(case, 1)
        woken.append(len(case.full_windows))

    assert woken == [0, 1, 1, 2, 2, 2, 2, 3, 3]


def test_a_restart_closes_what_is_there(make: Make) -> None:
    case = make(MESSAGE_MODE, sizes=GROWING)
    send(case, 13)
    stored = case.segments.recover().stored

    again = make(MESSAGE_MODE, sizes=GROWING)
    again.chunker.resume(0, 0, 4000, stored)

    assert close(again) == 8
    again.clock[0] += 500
    assert close(again) == 5


def test_a_source_that_ends_its_window_need_not_wait(make: Make) -> None:
    case = make(window=5)
    case.feed(b"x" * 14)
    case.chunker.end_window(case.source)
    assert case.due() == []  # not on disk yet
    case.writer.step()
    assert case.full_windows == [case.chunker]

    case.feed(b"the next window")
    case.writer.step()

    assert close(case) == 2
    case.clock[0] += 500
    assert case.due() == []


def test_ended_windows_are_as_far_apart_as_the_shortest_ones(make: Make) -> None:
    case = make(window=5)
    for expected in (1, 0, 2):
        case.feed(b"few")
        case.chunker.end_window(case.source)
        case.writer.step()
        assert close(case) == expected
        case.clock[0] += 50


def test_an_empty_window_cannot_be_ended(make: Make) -> None:
    case = make()
    case.chunker.end_window(case.source)
    case.feed(b"x" * 10)
    case.writer.step()

    assert case.due() == []


def test_another_source_cannot_end_the_window(make: Make) -> None:
    with pytest.raises(errors.StreamStopped):
        make().chunker.end_window(Source())


def test_an_empty_window_is_never_closed(make: Make) -> None:
    case = make()
    case.clock[0] += 10_000
    assert case.due() == []

    case.feed(b"dropped")
    case.chunker.detach(case.source)
    case.clock[0] += 10_000
    assert case.due() == []

    case.chunker.attach(case.source)
    case.feed(b"x" * 10)
    case.writer.step()
    assert case.due() == []  # its time has just begun


def test_full_windows_that_are_not_closed_are_counted(make: Make) -> None:
    case = make()
    case.feed(b"x" * 65)
    assert case.chunker.pending_windows == 2
    case.writer.step()
    assert case.chunker.pending_windows == 2

    case.chunker.window_closed(3)

    assert case.chunker.pending_windows == 1


def test_a_second_source_continues_after_the_last_chunk(make: Make) -> None:
    """Data of the first source that is not in a chunk is dropped."""
    case = make()
    case.feed(b"x" * 14)
    case.writer.step()

    second = Source()
    assert case.chunker.attach(second) == (1, 10)

    assert case.source.replaced_because == "another connection has taken over this stream"
    with pytest.raises(errors.StreamStopped) as refused:
        case.feed(b"late")
    assert refused.value.facts["reason"] == "ousted"
    case.chunker.feed(second, b"y" * 10, finished=True)
    assert case.cut() == [b"y" * 10]


def test_times_of_chunks_never_decrease(make: Make) -> None:
    case = make(MESSAGE_MODE)
    case.feed(b"one")
    case.clock[0] -= 3000
    case.feed(b"two")

    queued = case.writer.queued
    assert [chunk.received_ms for chunk in queued] == [5000, 5000]
    assert queued[1].digest == hashlib.sha256(b"two").digest()


def test_a_full_disk_loses_nothing_acknowledged_and_the_stream_goes_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make()
    case.feed(b"x" * 10)
    case.writer.step()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", full)
        case.feed(b"y" * 17)
        case.writer.step()

    assert "is full" in case.source.lost_because
    assert case.source.accepted == [(1, 10)]
    with pytest.raises(errors.StreamStopped):  # the client has to begin again at byte 10
        case.feed(b"z")
    again = Source()
    assert case.chunker.attach(again) == (1, 10)
    case.chunker.feed(again, b"y" * 10, finished=True)
    case.writer.step()
    assert again.accepted == [(2, 20)]
    assert [chunk.sequence for chunk in case.segments.recover().stored] == [0, 1]


def test_a_source_that_waits_to_take_over_is_told_of_a_full_disk(make: Make) -> None:
    case = make()
    case.feed(b"x" * 10)
    second = Source()

    def fail_then_wait(condition: Callable[[], bool]) -> bool:
        case.chunker.on_write_failed(errors.DiskFull("the disk is full"))
        return condition()

    case.writer.wait = fail_then_wait  # type: ignore[method-assign]

    assert case.chunker.attach(second) == (0, 0)
    assert second.lost_because == "the disk is full"


def test_a_segment_that_something_else_changed_stops_the_stream(make: Make, tmp_path: Path) -> None:
    case = make()
    reported: list[Damage] = []
    case.chunker = Chunker(
        case.chunker.row,
        case.segments,
        case.writer,
        lambda: case.clock[0],
        case.full_windows.append,
        on_damage=lambda _, damage: reported.append(damage),
    )
    case.chunker.attach(case.source)
    case.feed(b"x" * 10)
    case.writer.step()
    [segment] = (tmp_path / BYTES_MODE).glob("*.chunks")
    os.truncate(segment, 50)

    case.feed(b"y" * 10)
    case.writer.step()

    assert case.source.accepted == [(1, 10)]
    assert "is damaged" in case.source.replaced_because
    assert [(damage.file, damage.chunk) for damage in reported] == [(segment.name, 1)]
    assert segment.stat().st_size == 50
    assert case.due() == []
    for act in (lambda: case.feed(b"z"), lambda: case.chunker.attach(Source())):
        with pytest.raises(errors.StreamDamaged, match=segment.name):
            act()


def test_after_a_restart_it_continues_after_the_recovered_chunks(make: Make) -> None:
    case = make()
    case.feed(b"x" * 20)
    case.writer.step()
    stored = case.segments.recover().stored

    again = make()
    again.chunker.resume(7, 70, 4000, stored)

    assert (again.chunker.sequence, again.chunker.total) == (9, 90)
    again.clock[0] = 6000
    assert len(again.chunker.due_chunks(6000)) == 2


# -- streams with readings -----------------------------------------------------------------------


@pytest.fixture
def reading(tmp_path: Path) -> Case:
    """A stream with readings of at most 10 bytes, in windows of three."""
    rules = cold_chain(length=10)
    row = StreamRow(*(bytes(32), "s", bytes(32), "standard", 10, 3, 1000, MESSAGE_MODE, 60, 0))
    row = replace(row, readings="{}")
    clock, full_windows, writer = [5000], list[Chunker](), RecordingWriter()
    segments = Segments(tmp_path / "read", value_of=rules.committed_value)
    chunker = Chunker(
        *(row, segments, writer, lambda: clock[0], full_windows.append),
        value_of=rules.committed_value,
    )
    source = Source()
    chunker.attach(source)
    return Case(chunker, writer, source, clock, full_windows, segments)


def test_each_message_is_read_when_it_arrives(reading: Case) -> None:
    reading.feed(b"4.00", b"no number", b"", b"-0.5      ")
    reading.writer.step()

    values = [400, NO_READING, NO_READING, -50]
    assert [chunk.value for chunk in reading.chunker.unclosed()] == values
    assert [chunk.length for chunk in reading.chunker.unclosed()] == [4, 9, 0, 10]


def test_after_a_start_the_messages_are_read_again(reading: Case) -> None:
    reading.feed(b"4.00", b"no number")
    reading.writer.step()
    found = reading.chunker.segments.recover()

    assert found.stored == reading.chunker.unclosed()


def test_a_longer_message_has_an_error_of_its_own(reading: Case) -> None:
    reading.feed(b"4.00      ")

    with pytest.raises(errors.MessageTooLong) as refused:
        reading.feed(b"4.00       ")

    assert refused.value.facts == {"most": 10}
    assert reading.cut() == [b"4.00      "]


def test_why_a_stream_with_readings_stopped_tells_no_place_in_its_data(reading: Case) -> None:
    reading.chunker.on_damaged(Damage("0000000000000000.chunks", 1234, 7, "ends at byte 1290"))

    assert "12" not in reading.chunker.last_error
    assert "`dragon stream check`" in reading.chunker.last_error
