"""Taking data in: bytes become chunks, chunks go to disk together, and only then are acknowledged.

Data comes on many threads, one a socket; one thread writes for all of them, so that one wait for
the disk serves whatever came meanwhile. Crash before the write: nothing was acknowledged, and the
client sends it again from where it was told. Crash after it: the chunks are found again.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Protocol

import structlog

from dragon import errors
from dragon_stream.segments import Chunk, Segments, StoredChunk
from dragon_stream.store import StreamRow

BYTES, MESSAGE = "bytes", "message"
WAIT_SECONDS: Final = 10.0  # for the disk

logger = structlog.stdlib.get_logger(__name__)


class Source(Protocol):
    """Whoever sends the data: it is told what is safe."""

    def accepted(self, sequence: int, total: int) -> None:
        """All chunks before `sequence`, and `total` bytes of the stream, survive a crash."""

    def ousted(self, why: str) -> None:
        """Somebody else goes on with the stream, or nobody can."""

    def has_room(self) -> None:
        """WindowSealer that waited have left: more may be sent."""


class Intake:
    """One stream's way in. `feed` and `flush` are the source's, `written` the writer's."""

    def __init__(
        self,
        row: StreamRow,
        segments: Segments,
        writer: Writer,
        now_ms: Callable[[], int],
        notice: Callable[[Intake], None],
    ) -> None:
        """`notice` is called when the chunks of a whole window are safe."""
        self.row = row
        self.segments = segments
        self._writer = writer
        self._now_ms = now_ms
        self._notice = notice
        self._lock = threading.RLock()  # guards what follows
        self._source: Source | None = None
        self._pieces: list[bytes | bytearray] = []  # what no chunk holds yet
        self._held = 0  # bytes of them
        self._cut = 0  # the next chunk's sequence
        self._last_ms = 0
        self.sequence = 0  # chunks before it are safe
        self.total = 0  # bytes that are safe
        self._waiting: deque[StoredChunk] = deque()  # safe, and in no closed window yet
        self._since_ms: int | None = None  # when the first byte of the open window came
        self.trouble = ""  # why nothing can be written

    def resume(self, sequence: int, total: int, last_ms: int, kept: Sequence[StoredChunk]) -> None:
        """After a start: what closed windows hold, and what was found behind them."""
        self._waiting.extend(kept)
        self._since_ms = kept[0].received_ms if kept else None
        self._cut = self.sequence = sequence + len(kept)
        self.total = total + sum(each.length for each in kept)
        self._last_ms = max([last_ms, *(each.received_ms for each in kept)])

    # For sources

    def attach(self, source: Source) -> tuple[int, int]:
        """Let `source` go on with the stream, in the place of any other; from which chunk and byte.

        What the one before it has sent and no chunk holds yet is dropped: it was never accepted.

        Raises StreamStopped; Overdue: the disk does not keep up.
        """
        with self._lock:
            before, self._source = self._source, source
            self._drop()
            cut = self._cut
        if before is not None:
            before.ousted("another connection goes on with the stream")
        self.wait_for(cut)
        with self._lock:
            return self.sequence, self.total

    def detach(self, source: Source) -> None:
        with self._lock:
            if self._source is source:
                self._source = None
                self._drop()

    def _drop(self) -> None:
        """Forget what no chunk holds yet; if there is nothing else, no window is open."""
        self._pieces, self._held = [], 0
        if not self._waiting and self._cut == self.sequence:
            self._since_ms = None

    def feed(self, source: Source, piece: bytes | bytearray, *, finished: bool) -> None:
        """Take a piece of a frame. Raises StreamStopped; TooLarge: a message above the bound."""
        with self._lock:
            self._check(source)
            self._pieces.append(piece)
            self._held += len(piece)
            if self._since_ms is None:
                self._since_ms = self._now_ms()
            if self.row.mode == MESSAGE:
                if self._held > self.row.chunk_bytes:
                    message = f"a message of this stream has at most {self.row.chunk_bytes} bytes"
                    raise errors.TooLarge(message, most=self.row.chunk_bytes)
                if finished:
                    self._cut_all()
            elif self._held >= self.row.chunk_bytes:
                self._cut_full()

    def flush(self, source: Source) -> int:
        """Make a chunk of what is there; after which sequence all of it is safe."""
        with self._lock:
            self._check(source)
            self._flush()
            return self._cut

    def wait_for(self, sequence: int) -> None:
        """Until all chunks before it are safe. Raises Overdue, StreamStopped."""
        if not self._writer.wait(lambda: self.sequence >= sequence or bool(self.trouble)):
            raise errors.Overdue("the disk does not keep up")
        self._check_trouble()

    def encourage(self) -> None:
        """WindowSealer that waited have left: tell the source that it may go on."""
        if (source := self._source) is not None:
            source.has_room()

    # For whoever closes windows

    @property
    def unclosed(self) -> int:
        """Whole windows whose chunks are here, safe or not, and which are not closed yet."""
        return (len(self._waiting) + self._cut - self.sequence) // self.row.window_chunks

    def ripe(self, now_ms: int) -> list[StoredChunk]:
        """The chunks of the window that is to be closed now: it is full, or its time is over."""
        with self._lock:
            most = self.row.window_chunks
            if len(self._waiting) < most:
                if self._since_ms is None or now_ms < self._since_ms + self.row.window_ms:
                    return []
                self._flush()
                if self._cut != self.sequence:
                    return []  # what was cut off just now belongs to it, and is not safe yet
            return list(islice(self._waiting, most))

    def closed(self, count: int) -> None:
        """So many of the chunks that waited are in a closed window."""
        with self._lock:
            for _ in range(count):
                self._waiting.popleft()
            if self._waiting:
                self._since_ms = self._waiting[0].received_ms
            else:
                self._since_ms = self._now_ms() if self._held else None

    def _flush(self) -> None:
        if self._held and self.row.mode == BYTES:
            self._cut_all()

    def _check(self, source: Source) -> None:
        if self._source is not source:
            raise errors.StreamStopped("another connection goes on with it", reason="ousted")
        self._check_trouble()

    def _check_trouble(self) -> None:
        if self.trouble:
            raise errors.StreamStopped(self.trouble, reason="trouble")

    def _cut_full(self) -> None:
        """Whole chunks off the front of what is there."""
        size, joined = self.row.chunk_bytes, b"".join(self._pieces)
        for at in range(0, len(joined) - size + 1, size):
            self._cut_off(joined[at : at + size])
        rest = joined[len(joined) // size * size :]
        self._pieces, self._held = [rest] if rest else [], len(rest)

    def _cut_all(self) -> None:
        data = b"".join(self._pieces)
        self._pieces, self._held = [], 0
        self._cut_off(data)

    def _cut_off(self, data: bytes) -> None:
        self._last_ms = max(self._last_ms, self._now_ms())  # a clock may be set back
        digest = hashlib.sha256(data).digest()
        self._writer.put(self, Chunk(self._cut, self._last_ms, digest, data))
        self._cut += 1

    def forget(self, sequence: int, before_ms: int) -> None:
        """Data before that chunk is no longer kept."""
        self.segments.forget(sequence, before_ms)

    # For the writer

    def written(self, kept: Sequence[StoredChunk]) -> None:
        with self._lock:
            self._waiting.extend(kept)
            if self._since_ms is None:
                self._since_ms = kept[0].received_ms
            self.sequence = kept[-1].sequence + 1
            self.total += sum(each.length for each in kept)
            source, sequence, total = self._source, self.sequence, self.total
            full = len(self._waiting) >= self.row.window_chunks
        if source is not None:
            source.accepted(sequence, total)
        if full:
            self._notice(self)

    def failed(self, why: str) -> None:
        """The disk refused: nothing is taken until a restart, and nothing that was safe is lost."""
        logger.error("write_failed", stream=self.row.stream.hex(), detail=why)
        self.stop(f"nothing can be written: {why}")

    def stop(self, why: str) -> None:
        """Take nothing more."""
        with self._lock:
            self.trouble, source = why, self._source
        if source is not None:
            source.ousted(why)


class Writer:
    """The one thread that writes. What it has not written yet is bounded by the sources' credit."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: dict[Intake, list[Chunk]] = {}

    def put(self, intake: Intake, chunk: Chunk) -> None:
        with self._changed:
            self._queue.setdefault(intake, []).append(chunk)
            if len(self._queue) == 1 and len(self._queue[intake]) == 1:
                self._changed.notify_all()

    def wait(self, true: Callable[[], bool]) -> bool:
        """Until something is so, or WAIT_SECONDS have passed; whether it is."""
        with self._changed:
            return self._changed.wait_for(true, WAIT_SECONDS)

    def step(self) -> None:
        """Write what there is."""
        with self._changed:
            queue, self._queue = self._queue, {}
        for intake, chunks in queue.items():
            self._write(intake, chunks)
        if queue:
            with self._changed:
                self._changed.notify_all()

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue), timeout=0.2)
            self.step()
        self.step()  # what came until the stop is acknowledged or not, as its source sees

    def _write(self, intake: Intake, chunks: list[Chunk]) -> None:
        if intake.trouble:
            return
        try:
            kept = intake.segments.append(chunks)
        except OSError as error:
            intake.failed(error.strerror or type(error).__name__)
            return
        intake.written(kept)
