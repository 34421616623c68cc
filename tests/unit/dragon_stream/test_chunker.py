"""Taking data in: where chunks are cut, what is safe, when a window is to be closed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dragon import errors
from dragon_stream.chunker import BYTES, MESSAGE, Intake, Writer
from dragon_stream.segments import Chunk, Segments
from dragon_stream.store import StreamRow

Make = Callable[..., "Case"]


@dataclass(eq=False)
class Source:
    told: list[tuple[int, int]] = field(default_factory=list)
    why: str = ""

    def accepted(self, sequence: int, total: int) -> None:
        self.told.append((sequence, total))

    def ousted(self, why: str) -> None:
        self.why = why

    def has_room(self) -> None:
        self.told.append((-1, -1))


@dataclass
class Case:
    """A stream's way in, with a clock and a writer that act when they are told to."""

    intake: Intake
    writer: Writer
    source: Source
    clock: list[int]
    noticed: list[Intake]
    segments: Segments

    def feed(self, *pieces: bytes, finished: bool = True) -> None:
        for piece in pieces:
            self.intake.feed(self.source, piece, finished=finished)

    def cut(self) -> list[bytes]:
        """What has been cut off and is not written yet."""
        return [each.data for each in self.writer._queue.get(self.intake, [])]

    def ripe(self) -> list[int]:
        return [each.sequence for each in self.intake.ripe(self.clock[0])]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(mode: str = BYTES, *, chunk: int = 10, window: int = 3, ms: int = 1000) -> Case:
        row = StreamRow(*(bytes(32), "s", bytes(32), "standard", chunk, window, ms, mode, 60, 0))
        clock, noticed, writer = [5000], list[Intake](), Writer()
        segments = Segments(tmp_path / mode)
        intake = Intake(row, segments, writer, lambda: clock[0], noticed.append)
        source = Source()
        intake.attach(source)
        return Case(intake, writer, source, clock, noticed, segments)

    return made


def test_frames_mean_nothing_to_a_stream_of_bytes(make: Make) -> None:
    case = make()

    case.feed(b"0123", b"45678901234", b"5", finished=False)

    assert case.cut() == [b"0123456789"]
    case.feed(b"x" * 34)
    assert case.cut() == [b"0123456789", b"012345" + b"x" * 4, b"x" * 10, b"x" * 10, b"x" * 10]


def test_a_frame_is_a_chunk_of_a_stream_of_messages(make: Make) -> None:
    case = make(MESSAGE)

    case.feed(b"21.", finished=False)
    case.feed(b"5")
    case.feed(b"", b"21.7")

    assert case.cut() == [b"21.5", b"", b"21.7"]


def test_a_message_above_the_bound_is_refused_as_it_comes(make: Make) -> None:
    case = make(MESSAGE)
    case.feed(b"x" * 10, finished=False)

    with pytest.raises(errors.TooLarge) as refused:
        case.feed(b"x", finished=False)

    assert refused.value.facts["most"] == 10
    assert case.cut() == []


def test_nothing_is_accepted_before_it_is_written(make: Make) -> None:
    case = make()
    case.feed(b"x" * 25)
    assert case.source.told == []
    assert (case.intake.sequence, case.intake.total) == (0, 0)

    case.writer.step()

    assert case.source.told == [(2, 20)]
    assert [each.length for each in case.segments.recover([], 0)] == [10, 10]


def test_a_flush_makes_a_chunk_of_what_is_there(make: Make) -> None:
    case = make()
    case.feed(b"short")

    assert case.intake.flush(case.source) == 1
    assert case.intake.flush(case.source) == 1  # there is nothing more

    case.writer.step()
    assert case.source.told == [(1, 5)]


def test_a_window_is_ripe_when_it_is_full(make: Make) -> None:
    case = make()
    case.feed(b"x" * 29)
    case.writer.step()
    assert case.ripe() == []
    assert case.noticed == []

    case.feed(b"x")
    case.writer.step()

    assert case.ripe() == [0, 1, 2]
    assert case.noticed == [case.intake]


def test_a_window_is_ripe_when_its_time_is_over(make: Make) -> None:
    """Its time begins with its first byte; what is there then becomes its last chunk."""
    case = make()
    case.clock[0] = 9000
    case.feed(b"few")
    case.clock[0] = 9999
    assert case.ripe() == []
    assert case.cut() == []

    case.clock[0] = 10_000
    assert case.ripe() == []  # cut off just now, and not safe yet
    case.writer.step()

    assert case.ripe() == [0]


def test_the_time_of_the_next_window_begins_with_its_own_data(make: Make) -> None:
    case = make(window=2)
    case.feed(b"x" * 25)
    case.writer.step()
    assert case.ripe() == [0, 1]
    case.clock[0] += 700
    case.intake.closed(2)

    case.clock[0] += 999
    assert case.ripe() == []
    case.clock[0] += 1
    case.ripe()
    case.writer.step()
    assert case.ripe() == [2]


def test_an_empty_window_is_never_closed(make: Make) -> None:
    case = make()
    case.clock[0] += 10_000
    assert case.ripe() == []

    case.feed(b"dropped")
    case.intake.detach(case.source)
    case.clock[0] += 10_000
    assert case.ripe() == []

    case.intake.attach(case.source)
    case.feed(b"x" * 10)
    case.writer.step()
    assert case.ripe() == []  # its time has only just begun


def test_windows_that_are_not_closed_yet_are_counted(make: Make) -> None:
    case = make()
    case.feed(b"x" * 65)
    assert case.intake.unclosed == 2
    case.writer.step()
    assert case.intake.unclosed == 2

    case.intake.closed(3)

    assert case.intake.unclosed == 1


def test_a_second_source_goes_on_from_what_is_safe(make: Make) -> None:
    """What the first has sent and no chunk holds is dropped; what was cut is waited for."""
    case = make()
    case.feed(b"x" * 14)
    case.writer.step()

    second = Source()
    assert case.intake.attach(second) == (1, 10)

    assert case.source.why == "another connection goes on with the stream"
    with pytest.raises(errors.StreamStopped) as refused:
        case.feed(b"late")
    assert refused.value.facts["reason"] == "ousted"
    case.intake.feed(second, b"y" * 10, finished=True)
    assert case.cut() == [b"y" * 10]


def test_a_clock_that_is_set_back_turns_no_time_around(make: Make) -> None:
    case = make(MESSAGE)
    case.feed(b"one")
    case.clock[0] -= 3000
    case.feed(b"two")

    queued: list[Chunk] = case.writer._queue[case.intake]
    assert [each.received_ms for each in queued] == [5000, 5000]
    assert queued[1].digest == hashlib.sha256(b"two").digest()


def test_a_disk_that_refuses_stops_the_stream_and_loses_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make()
    case.feed(b"x" * 10)
    case.writer.step()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(case.segments, "append", full)
        case.feed(b"y" * 10)
        case.writer.step()

    assert case.source.why == "nothing can be written: No space left on device"
    assert case.source.told == [(1, 10)]
    for act in (lambda: case.feed(b"z"), lambda: case.intake.attach(Source())):
        with pytest.raises(errors.StreamStopped, match="No space left"):
            act()


def test_after_a_start_it_goes_on_behind_what_was_found(make: Make) -> None:
    case = make()
    case.feed(b"x" * 20)
    case.writer.step()
    kept = case.segments.recover([], 0)

    again = make()
    again.intake.resume(7, 70, 4000, kept)

    assert (again.intake.sequence, again.intake.total) == (9, 90)
    again.clock[0] = 6000
    assert len(again.intake.ripe(6000)) == 2
