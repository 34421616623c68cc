"""Cuts incoming data into chunks and acknowledges them once they are on disk.

Data arrives on many threads, one per connection; `Writer` writes all chunks on one thread. A crash
before the write loses unacknowledged data only, and the client sends it again. Chunks that were
written are recovered at the next start.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Protocol

from dragon import errors
from dragon_stream.chunk_readings import CommittedValue
from dragon_stream.damage import Damage
from dragon_stream.records import Chunk, StoredChunk
from dragon_stream.segments import Segments
from dragon_stream.store import StreamRow
from dragon_stream.window_sizes import NO_BACKLOG, Backlog, WindowSizes
from dragon_stream.writer import DISK_TIMEOUT_SECONDS, Writer

BYTES_MODE: Final = "bytes"  # chunks are cut at `chunk_bytes`
MESSAGE_MODE: Final = "message"  # every message is one chunk
# Before a window that a source ends: the shortest time after which any stream closes windows.
MIN_PAUSE_MS: Final = 100


class Source(Protocol):
    """The sender of a stream's data, which is informed of its progress."""

    def on_accepted(self, sequence: int, total: int) -> None:
        """All chunks before `sequence`, and `total` bytes of the stream, are on disk."""

    def on_replaced(self, reason: str) -> None:
        """This source can send no more: another one took over, or the stream has stopped."""

    def on_lost(self, error: errors.DiskError) -> None:
        """Data that was not accepted yet could not be written and is dropped.

        This source can send no more. The client may try again from the last accepted byte.
        """

    def on_capacity(self) -> None:
        """Pending windows were finished, so more data may be accepted."""


class Chunker:
    """The input of one stream.

    Sources call `attach`, `feed`, `flush` and `detach`; the pipeline calls `due_chunks` and
    `window_closed`; the writer calls `on_written`, `on_write_failed` and `on_damaged`.
    """

    def __init__(
        self,
        row: StreamRow,
        segments: Segments,
        writer: Writer,
        now_ms: Callable[[], int],
        on_full_window: Callable[[Chunker], None],
        *,
        on_damage: Callable[[bytes, Damage], None] = lambda _stream, _damage: None,
        value_of: CommittedValue | None = None,
        sizes: WindowSizes | None = None,
    ) -> None:
        """
        Args:
            row: the stream's settings.
            segments: the stream's files.
            writer: writes the chunks.
            now_ms: the clock, in Unix milliseconds.
            on_full_window: called when so many chunks are on disk that a window may be full.
            on_damage: called when the files are found damaged; see `DamageReports.report`.
            value_of: in a stream with readings, the number to commit to for a message.
            sizes: how many chunks a window gets; None for always `window_chunks` of the row.
        """
        self.row = row
        self.sizes = sizes or WindowSizes.fixed(row.window_chunks)
        self.segments = segments
        self._writer = writer
        self._now_ms = now_ms
        self._on_full_window = on_full_window
        self._on_damage = on_damage
        self._value_of = value_of
        self._lock = threading.RLock()  # guards everything below
        self._source: Source | None = None
        self._pieces: list[bytes | bytearray] = []  # data that is not in a chunk yet
        self._piece_bytes = 0
        self._next_sequence = 0  # of the next chunk that will be cut
        self._last_ms = 0
        self.sequence = 0  # all chunks before this one are on disk
        self.total = 0  # bytes on disk
        self._unclosed: deque[StoredChunk] = deque()  # on disk, but not in a closed window
        self._window_began_ms: int | None = None  # arrival of the open window's first byte
        self._ended_before = 0  # chunks before this one need not wait for others in their window
        self._last_closed_ms: int | None = None  # when the last window was closed, since the start
        self.last_error = ""  # why the stream accepts nothing more; empty while it does
        self.is_damaged = False  # whether the reason is damage on the disk

    def resume(
        self, sequence: int, total: int, last_ms: int, stored: Sequence[StoredChunk]
    ) -> None:
        """Restore the state after a start.

        Args:
            sequence: the first chunk after the last closed window.
            total: bytes of the stream up to that window's end.
            last_ms: arrival of that window's last chunk, in Unix milliseconds.
            stored: the chunks on disk after that window.
        """
        self._unclosed.extend(stored)
        self._window_began_ms = stored[0].received_ms if stored else None
        self._next_sequence = self.sequence = sequence + len(stored)
        self.total = total + sum(chunk.length for chunk in stored)
        self._last_ms = max([last_ms, *(chunk.received_ms for chunk in stored)])

    # Called by sources

    def attach(self, source: Source) -> tuple[int, int]:
        """Make `source` the sender of the stream, replacing any other.

        Data of the previous source that is not in a chunk is dropped: it was never acknowledged.

        Returns:
            The sequence and the byte from which the source continues.

        Raises:
            StreamStopped: the stream accepts nothing more.
            StreamDamaged: its files are damaged.
            Overdue: chunks were not written in time.
        """
        with self._lock:
            previous, self._source = self._source, source
            self._drop_pieces()
            cut = self._next_sequence
        if previous is not None:
            previous.on_replaced("another connection has taken over this stream")
        self.wait_for(cut, lambda: self._next_sequence < cut)
        with self._lock:
            return self.sequence, self.total

    def detach(self, source: Source) -> None:
        """Drop the source's data that is not in a chunk. Does nothing after a replacement."""
        with self._lock:
            if self._source is source:
                self._source = None
                self._drop_pieces()

    def _drop_pieces(self) -> None:
        self._pieces, self._piece_bytes = [], 0
        if not self._unclosed and self._next_sequence == self.sequence:
            self._window_began_ms = None  # the open window is empty

    def feed(self, source: Source, piece: bytes | bytearray, *, finished: bool) -> None:
        """Accept a piece of a frame; `finished` marks the frame's last piece.

        Raises:
            StreamStopped: the source was replaced, or the stream accepts nothing more.
            TooLarge: a message exceeds `chunk_bytes`; MessageTooLong in a stream with readings.
        """
        with self._lock:
            self._check_source(source)
            self._pieces.append(piece)
            self._piece_bytes += len(piece)
            if self._window_began_ms is None:
                self._window_began_ms = self._now_ms()
            if self.row.mode == MESSAGE_MODE:
                self._check_message_size()
                if finished:
                    self._cut_all()
            elif self._piece_bytes >= self.row.chunk_bytes:
                self._cut_full()

    def flush(self, source: Source) -> int:
        """Cut a chunk from the data so far.

        Returns the sequence to pass to `wait_for`. Raises StreamStopped, as `feed` does.
        """
        with self._lock:
            self._check_source(source)
            self._flush()
            return self._next_sequence

    def end_window(self, source: Source) -> None:
        """Flush, and close the window without waiting for its size or its time.

        Raises StreamStopped, as `feed` does.
        """
        with self._lock:
            self._ended_before = self.flush(source)

    def wait_for(self, sequence: int, is_lost: Callable[[], bool] = lambda: False) -> None:
        """Wait until all chunks before `sequence` are on disk, or `is_lost` is true.

        Raises Overdue, StreamStopped, StreamDamaged.
        """

        def is_over() -> bool:
            return self.sequence >= sequence or bool(self.last_error) or is_lost()

        if not self._writer.wait(is_over):
            raise errors.Overdue(
                f"the data was not written to disk within {DISK_TIMEOUT_SECONDS:.0f} s; try again"
            )
        self._check_running()

    # Called by the pipeline

    def resume_source(self) -> None:
        """Tell the source that more data may be accepted."""
        if (source := self._source) is not None:
            source.on_capacity()

    @property
    def pending_windows(self) -> int:
        """Full windows that are not closed yet, whether or not their chunks are on disk."""
        chunks = len(self._unclosed) + self._next_sequence - self.sequence
        return chunks // self.sizes.largest

    def due_chunks(self, now_ms: int, backlog: Backlog = NO_BACKLOG) -> list[StoredChunk]:
        """The chunks of the window to close now, because it is full or its time has passed.

        Args:
            now_ms: the time in Unix milliseconds.
            backlog: windows that wait for their proof or for votes; see `WindowSizes`.
        """
        with self._lock:
            return list(islice(self._unclosed, self._due(now_ms, backlog)))

    def is_due(self, now_ms: int, backlog: Backlog = NO_BACKLOG) -> bool:
        """Whether `due_chunks` returns any."""
        with self._lock:
            return bool(self._due(now_ms, backlog))

    def _due(self, now_ms: int, backlog: Backlog) -> int:
        """The number of chunks of the window to close now; 0 if there is none."""
        if self.is_damaged:
            return 0
        chunks, last_ms = len(self._unclosed), self._last_closed_ms
        elapsed_ms = None if last_ms is None else now_ms - last_ms
        if size := self.sizes.full(chunks, elapsed_ms, backlog):
            return size
        return self._ended(elapsed_ms) or self._expired(now_ms, backlog)

    def _expired(self, now_ms: int, backlog: Backlog) -> int:
        """The number of chunks of the window, if its time has passed; else 0."""
        began_ms, chunks = self._window_began_ms, len(self._unclosed)
        if began_ms is None or now_ms < began_ms + self.row.window_ms:
            return 0
        if not self.sizes.may_expire(backlog):
            return 0
        if chunks >= self.sizes.smallest:
            return chunks  # its time has passed before it could be closed as full
        self._flush()
        # Otherwise the window's last chunks are not on disk yet.
        return chunks if self._next_sequence == self.sequence else 0

    def _ended(self, elapsed_ms: int | None) -> int:
        """The number of chunks of the window that a source has ended; 0 if there is none."""
        if self.sequence < self._ended_before:
            return 0  # they are not on disk yet
        if elapsed_ms is not None and 0 <= elapsed_ms < MIN_PAUSE_MS:
            return 0
        return max(0, self._ended_before - (self.sequence - len(self._unclosed)))

    def window_closed(self, count: int) -> None:
        """Remove the first `count` chunks of the open window: they are in a closed one."""
        with self._lock:
            for _ in range(count):
                self._unclosed.popleft()
            self._last_closed_ms = self._now_ms()
            if self._unclosed:
                self._window_began_ms = self._unclosed[0].received_ms
            else:
                self._window_began_ms = self._now_ms() if self._piece_bytes else None

    def unclosed(self) -> list[StoredChunk]:
        """Return the chunks on disk that are in no closed window, in order."""
        with self._lock:
            return list(self._unclosed)

    def forget(self, sequence: int, before_ms: int) -> None:
        """Delete data before that chunk; see `Segments.forget`. Damaged files stay as they are."""
        if not self.is_damaged:
            self.segments.forget(sequence, before_ms)

    def stop(self, reason: str) -> None:
        """Accept nothing more."""
        with self._lock:
            self.last_error, source = reason, self._source
        if source is not None:
            source.on_replaced(reason)

    # Called by the writer

    def on_written(self, stored: Sequence[StoredChunk]) -> None:
        """Acknowledge chunks that are on disk."""
        with self._lock:
            before = len(self._unclosed)
            self._unclosed.extend(stored)
            if self._window_began_ms is None:
                self._window_began_ms = stored[0].received_ms
            self.sequence = stored[-1].sequence + 1
            self.total += sum(chunk.length for chunk in stored)
            source, sequence, total = self._source, self.sequence, self.total
            may_be_full = self.sizes.is_reached(before, len(self._unclosed)) or (
                self.sequence >= self._ended_before > stored[0].sequence
            )
        if source is not None:
            source.on_accepted(sequence, total)
        if may_be_full:
            self._on_full_window(self)

    def on_write_failed(self, error: errors.DiskError) -> None:
        """Drop what is not on disk. The source is told, and the stream goes on with the next one.

        `Disk` logs the error and says in `/readyz` that it lasts.
        """
        with self._lock:
            self._next_sequence, self._ended_before = self.sequence, 0
            source, self._source = self._source, None
            self._drop_pieces()
            if source is not None:
                source.on_lost(error)
            self._writer.discard(self)  # under the lock: no other source has queued anything yet

    def on_damaged(self, damage: Damage) -> None:
        """Stop the stream: something else has changed its files. Nothing of them is changed."""
        if self.row.hides_sizes:
            damage = damage.without_sizes()  # everybody may read why the stream has stopped
        with self._lock:
            self.is_damaged = True
            self._next_sequence = self.sequence
            self.stop(f"its data on disk is damaged: {damage}")
        self._on_damage(self.row.stream, damage)

    # Cutting

    def _flush(self) -> None:
        if self._piece_bytes and self.row.mode == BYTES_MODE:
            self._cut_all()

    def _check_source(self, source: Source) -> None:
        if self._source is not source:
            message = "another connection has taken over this stream"
            raise errors.StreamStopped(message, reason="ousted")
        self._check_running()

    def _check_running(self) -> None:
        if self.is_damaged:
            raise errors.StreamDamaged(self.last_error, reason="damaged")
        if self.last_error:
            raise errors.StreamStopped(self.last_error, reason="trouble")

    def _check_message_size(self) -> None:
        largest = self.row.chunk_bytes
        if self._piece_bytes > largest:
            if self.row.hides_sizes:
                message = f"the message exceeds {largest} bytes, the `length` of the readings"
                raise errors.MessageTooLong(message, most=largest)
            message = f"the message exceeds {largest} bytes, the limit of this stream"
            raise errors.TooLarge(message, most=largest)

    def _cut_full(self) -> None:
        size, joined = self.row.chunk_bytes, b"".join(self._pieces)
        for at in range(0, len(joined) - size + 1, size):
            self._cut(joined[at : at + size])
        rest = joined[len(joined) // size * size :]
        self._pieces, self._piece_bytes = [rest] if rest else [], len(rest)

    def _cut_all(self) -> None:
        data = b"".join(self._pieces)
        self._pieces, self._piece_bytes = [], 0
        self._cut(data)

    def _cut(self, data: bytes) -> None:
        self._last_ms = max(self._last_ms, self._now_ms())  # the clock may be set back
        digest = hashlib.sha256(data).digest()
        value = self._value_of(data) if self._value_of else None
        self._writer.put(self, Chunk(self._next_sequence, self._last_ms, digest, data, value))
        self._next_sequence += 1
