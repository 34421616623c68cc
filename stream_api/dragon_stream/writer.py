"""Writes the chunks of all streams to disk on one thread.

Chunks that arrive during a write, or soon after it, are written together in the next one. So at a
high rate a stream takes one disk sync and one answer for several messages. A chunk that arrives
later, or for which a caller waits, is written at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from dragon.errors import DiskError
from dragon_stream.damage import Damage, Damaged
from dragon_stream.records import Chunk, StoredChunk
from dragon_stream.segments import Segments

DISK_TIMEOUT_SECONDS: Final = 10.0  # time for which a caller waits for its chunks to be on disk
GATHER_SECONDS: Final = 0.01  # from one write to the next, unless a caller waits
_POLL_SECONDS: Final = 0.2  # how often an idle writer checks whether to stop


class Destination(Protocol):
    """What the writer needs of a stream: its files, and where to report the outcome."""

    segments: Segments
    last_error: str

    def on_written(self, stored: Sequence[StoredChunk]) -> None:
        """These chunks are on disk."""

    def on_write_failed(self, error: DiskError) -> None:
        """The chunks could not be written; nothing of them is stored."""

    def on_damaged(self, damage: Damage) -> None:
        """The stream's files are not as the last write left them; nothing may be written."""


class Writer:
    """The queue and its thread. The credit of the sources bounds the size of the queue."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` returns seconds."""
        self._monotonic = monotonic
        self._changed = threading.Condition()  # guards the following attributes
        self._queue: dict[Destination, list[Chunk]] = {}
        self._callers = 0  # that wait

    def put(self, destination: Destination, chunk: Chunk) -> None:
        """Queue a chunk. Chunks of one destination are written in the order of the calls."""
        with self._changed:
            self._queue.setdefault(destination, []).append(chunk)
            if len(self._queue) == 1 and len(self._queue[destination]) == 1:
                self._changed.notify_all()

    def discard(self, destination: Destination) -> None:
        """Drop what is queued for a destination, and let its waiting callers look again."""
        with self._changed:
            self._queue.pop(destination, None)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> bool:
        """Wait until the condition holds, at most DISK_TIMEOUT_SECONDS. Return whether it holds."""
        with self._changed:
            self._callers += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(condition, DISK_TIMEOUT_SECONDS)
            finally:
                self._callers -= 1

    def step(self) -> None:
        """Write everything that is queued."""
        with self._changed:
            queue, self._queue = self._queue, {}
        for destination, chunks in queue.items():
            self._write(destination, chunks)
        if queue:
            with self._changed:
                self._changed.notify_all()

    def run(self, stop: threading.Event) -> None:
        """Write until `stop` is set, then write what is still queued."""
        begun = float("-inf")
        while not stop.is_set():
            self.gather(begun)
            begun = self._monotonic()
            self.step()
        self.step()

    def gather(self, begun: float) -> None:
        """Wait for chunks, at most _POLL_SECONDS, and for those that follow them soon.

        Args: `begun`, when the last write began.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self._queue), timeout=_POLL_SECONDS)
            pause = begun + GATHER_SECONDS - self._monotonic()
            if self._queue and pause > 0:
                self._changed.wait_for(lambda: self._callers > 0, timeout=pause)

    def _write(self, destination: Destination, chunks: list[Chunk]) -> None:
        if destination.last_error:
            return
        try:
            stored = destination.segments.append(chunks)
        except DiskError as error:
            destination.on_write_failed(error)
        except Damaged as error:
            destination.on_damaged(error.damage)
        else:
            destination.on_written(stored)
