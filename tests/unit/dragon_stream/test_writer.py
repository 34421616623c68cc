"""Which chunks are written together."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from dragon_stream import writer as module
from dragon_stream.damage import Damage
from dragon_stream.records import Chunk
from dragon_stream.writer import Writer

LONG_SECONDS = 3600.0


class Recording:
    """A destination that keeps the sequences of each write."""

    def __init__(self) -> None:
        self.segments: Any = self
        self.last_error = ""
        self.writes: list[list[int]] = []
        self.written = threading.Event()

    def append(self, chunks: Sequence[Chunk]) -> list[Any]:
        self.writes.append([chunk.sequence for chunk in chunks])
        return []

    def on_written(self, stored: Sequence[Any]) -> None:
        self.written.set()

    def on_write_failed(self, error: Exception) -> None:
        raise error

    def on_damaged(self, damage: Damage) -> None:
        raise AssertionError(damage)

    def has(self, sequence: int) -> bool:
        return any(sequence in each for each in self.writes)


def chunk(sequence: int) -> Chunk:
    return Chunk(sequence, 1000, bytes(32), b"21.5")


@contextmanager
def running(writer: Writer) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=writer.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_SECONDS", LONG_SECONDS)


@pytest.mark.usefixtures("long_pause")
def test_chunks_that_follow_a_write_soon_are_written_together() -> None:
    writer, stream = Writer(lambda: 0.0), Recording()
    with running(writer):
        writer.put(stream, chunk(0))
        assert writer.wait(lambda: stream.has(0))
        for sequence in (1, 2, 3):
            writer.put(stream, chunk(sequence))
        assert writer.wait(lambda: stream.has(3))

    assert stream.writes == [[0], [1, 2, 3]]


@pytest.mark.usefixtures("long_pause")
def test_a_chunk_for_which_a_caller_waits_is_written_at_once() -> None:
    writer, stream = Writer(lambda: 0.0), Recording()
    with running(writer):
        for sequence in range(5):
            writer.put(stream, chunk(sequence))
            assert writer.wait(lambda at=sequence: stream.has(at))  # type: ignore[misc]

    assert stream.writes == [[0], [1], [2], [3], [4]]


@pytest.mark.usefixtures("long_pause")
def test_a_chunk_after_a_pause_is_written_at_once() -> None:
    now = iter(range(0, 1_000_000, 4000))
    writer, stream = Writer(lambda: float(next(now))), Recording()
    with running(writer):
        for sequence in range(3):
            stream.written.clear()
            writer.put(stream, chunk(sequence))
            assert stream.written.wait(10)

    assert stream.writes == [[0], [1], [2]]
