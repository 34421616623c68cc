"""A stream's data on disk: records of chunks in append-only files, called segments.

`dragon_stream.records` describes a record. A segment is named after its first chunk. A crash during
a write leaves an incomplete record; such a record was never acknowledged and is cut off by
`Segments.recover`, which tells it from damage: see `dragon_stream.recovery`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol

from dragon.storage.disk import Disk
from dragon.storage.permissions import PRIVATE_FOLDER, make_folder
from dragon_stream.acknowledged import AcknowledgedFile
from dragon_stream.chunk_readings import CommittedValue
from dragon_stream.damage import Damaged
from dragon_stream.records import (
    HEAD_BYTES,
    MAX_CHUNKS_PER_SYNC,
    Chunk,
    StoredChunk,
    head_of,
    is_whole,
    parse_head,
)
from dragon_stream.recovery import (
    ChunkLength,
    Closed,
    Recovered,
    Recovery,
    end_of,
    segment_names,
    segment_path,
)

MAX_SEGMENT_BYTES: Final = 64 << 20  # segment of data, approximately: the last write may exceed it
ARCHIVED_SEGMENT_MS: Final = 3_600_000  # with an archive, age at which a segment is closed
MAX_CHUNKS_PER_WRITE: Final = 512  # chunks in a system call, which accepts 1,024 parts, two a chunk


class ArchivedSegments(Protocol):
    """The segments of the stream that are in the archive; see `dragon_stream.archive.reader`."""

    def names(self, low: int, high: int) -> Sequence[int]:
        """The first chunks of archived segments: the last one up to `low`, and all up to `high`."""

    def end(self) -> int:
        """All chunks before this one that the retention keeps are in the archive."""

    def read(self, first: int, start: int, length: int) -> tuple[str, bytes]:
        """The name of a segment in the archive, and bytes of it, which are not verified."""

    def forget(self, first: int) -> None:
        """Drop what is kept of a segment, because it is wrong."""


class Segments:
    """The segments of one stream. One thread may append, all may read."""

    def __init__(
        self,
        folder: Path,
        disk: Disk | None = None,
        *,
        create: bool = True,
        value_of: CommittedValue | None = None,
        archive: ArchivedSegments | None = None,
        max_bytes: int | None = None,
    ) -> None:
        """
        Args:
            folder: the stream's folder.
            disk: is told of failing writes; by default that of `folder`.
            create: whether the folder is created; otherwise it is damage if it does not exist.
            value_of: in a stream with readings, the number to commit to for a message.
            archive: where segments are read that are not on the disk any more.
            max_bytes: of a segment, approximately; with an archive, which takes closed segments,
                one is also closed after ARCHIVED_SEGMENT_MS. None: MAX_SEGMENT_BYTES.

        Raises:
            DiskFull, DiskFailed: the folder cannot be created.
        """
        self._folder = folder
        self.disk = disk or Disk(folder)
        self._value_of = value_of
        self._archive = archive
        self._max_bytes = max_bytes
        self._max_age_ms = ARCHIVED_SEGMENT_MS if max_bytes else None
        if create and not folder.is_dir():
            with self.disk.guard():
                make_folder(folder, PRIVATE_FOLDER)
                _sync_folder(folder.parent)
        self._acknowledged = AcknowledgedFile(folder)
        self._file: int | None = None
        self._size = 0  # bytes of whole records in the newest segment
        self._began_ms = 0  # arrival of the first chunk that was appended to the open segment
        self._rotate_before_ms = 0  # a segment that began earlier is followed by another

    def recover(self, closed: Closed | None = None) -> Recovered:
        """Find the chunks after the last closed window, and cut off a torn end.

        If there is damage, no file is changed. Nothing may be appended then.

        Raises DiskFull, DiskFailed: the torn end cannot be cut off.
        """
        closed = closed or Closed()
        found = Recovery(self._folder, closed, self._acknowledged.load, self._value_of).run()
        self._size = found.size
        if found.damage is not None:
            return found
        with self.disk.guard():
            names = self._names()
            if names and self._path(names[-1]).stat().st_size > found.size:
                os.truncate(self._path(names[-1]), found.size)
            self._acknowledged.raise_to(
                kept=names[0] if names and not closed.archived else 0,
                chunks=closed.next + len(found.stored),
                windows=closed.windows,
                sync=True,
            )
            _sync_folder(self._folder)
        return found

    def append(self, chunks: Sequence[Chunk]) -> list[StoredChunk]:
        """Write chunks and sync the disk.

        Raises:
            DiskFull, DiskFailed: none of the chunks is stored. The next call writes at the same
                place, and removes what this one left there.
            Damaged: the segment is not as the last write left it.
        """
        try:
            with self.disk.guard():
                return self._append(chunks)
        except BaseException:
            # After a failed sync the kernel may have dropped what was written: all of it is
            # written again, into a file that is opened again.
            self.close()
            raise

    def _append(self, chunks: Sequence[Chunk]) -> list[StoredChunk]:
        full = self._size >= (self._max_bytes or MAX_SEGMENT_BYTES) or self._is_old(
            chunks[0].received_ms
        )
        if self._file is None:
            self._reopen(chunks[0])
        elif full:
            self._begin(chunks[0])
        file, offset, stored = (
            self._checked_file(chunks[0].sequence),
            self._size,
            list[StoredChunk](),
        )
        try:
            for group in batched(chunks, MAX_CHUNKS_PER_SYNC):
                for chunk in group:
                    stored.append(chunk.stored(offset))
                    offset = stored[-1].end
                _write_group(file, group)
                os.fdatasync(file)
            self._acknowledged.raise_to(chunks=chunks[-1].sequence + 1)
        except OSError:
            os.ftruncate(file, self._size)
            raise
        self._size = offset
        return stored

    def _is_old(self, now_ms: int) -> bool:
        oldest_ms = 0 if self._max_age_ms is None else now_ms - self._max_age_ms
        return self._began_ms < max(self._rotate_before_ms, oldest_ms)

    def window_closed(self, windows: int) -> None:
        """Note that the database has that many windows. Raises DiskFull, DiskFailed."""
        with self.disk.guard():
            self._acknowledged.raise_to(windows=windows)

    def forget(self, sequence: int, before_ms: int) -> None:
        """Delete the segments that hold only chunks before `sequence`, except the newest.

        The next write starts another segment if the newest one began before `before_ms`, so that
        the newest one can be deleted later. `before_ms` is in Unix milliseconds.

        Raises DiskFull, DiskFailed.
        """
        self._rotate_before_ms = before_ms
        names = self._names()
        kept = max(
            (name for name in self._with_archived(names, sequence, sequence) if name <= sequence),
            default=0,
        )
        if not kept or (kept <= self.kept and names[:1] == [kept]):
            return
        with self.disk.guard():
            self._acknowledged.raise_to(kept=kept, sync=True)  # first: it explains what is missing
            for name in names[:-1]:
                if name < kept:
                    self._path(name).unlink(missing_ok=True)

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def kept(self) -> int:
        """The first chunk that the retention has not deleted."""
        return self._acknowledged.value.kept

    def closed(self) -> list[tuple[int, int, int]]:
        """Segments on disk to which nothing is appended: first chunk, the one after, and bytes."""
        found, local = [], self._names()
        # A segment between two of them may be in the archive only.
        names = self._with_archived(local, local[0], local[-1]) if local else []
        for first, following in pairwise(names):
            with suppress(FileNotFoundError):  # it is in the archive, or deleted in this moment
                found.append((first, following, self._path(first).stat().st_size))
        return found

    def evict(self, first: int) -> None:
        """Delete a closed segment that the archive holds. Raises DiskFull, DiskFailed."""
        if first in self._names()[:-1]:
            with self.disk.guard():
                self._path(first).unlink(missing_ok=True)

    def _with_archived(self, names: list[int], low: int, high: int) -> list[int]:
        """Names of segments on disk, and of those in the archive from `low` to `high`."""
        if self._archive is None:
            return names
        return sorted({*names, *self._archive.names(low, high)})

    def size(self) -> int:
        """Bytes of all segments."""
        sizes = [0]
        for name in self._names():
            with suppress(FileNotFoundError):  # it is deleted in this moment
                sizes.append(self._path(name).stat().st_size)
        return sum(sizes)

    def read(self, chunks: Sequence[ChunkLength], offset: int, digest: bytes) -> bytes | None:
        """The data of the last of these chunks, or None if it was deleted after its retention.

        Args:
            chunks: the chunks of a window, from its first to the requested one.
            offset: of the first of them in its segment.
            digest: SHA-256 of the data.

        Raises Damaged: the data is missing, or is not the data that was stored.
        """
        sequence, length = chunks[-1]
        if sequence < self._acknowledged.value.kept:
            return None
        names = self._with_archived(self._names(), chunks[0][0], sequence)
        name = max((name for name in names if name <= sequence), default=None)
        if name is None:
            raise Damaged(self._path(sequence).name, None, sequence, "is missing")
        start = 0 if name == sequence else end_of(chunks[:-1], offset, set(names))
        file, raw, is_archived = self._raw(name, start, HEAD_BYTES + length, sequence)
        if raw is None:
            return None
        head, data = parse_head(raw[:HEAD_BYTES]), raw[HEAD_BYTES:]
        what = ""
        if head is None or (head.sequence, head.digest) != (sequence, digest):
            what = "has no record of the chunk there"
        elif not is_whole(head, data):
            what = "has data that differs from its digest"
        if not what:
            return data
        if is_archived and self._archive is not None:
            self._archive.forget(name)
            what += ", in the archive"
        raise Damaged(file, start, sequence, what)

    def _raw(
        self, name: int, start: int, length: int, sequence: int
    ) -> tuple[str, bytes | None, bool]:
        """Bytes of a segment, on disk or in the archive: its file, the bytes, and which of them.

        The bytes are None if the retention has deleted them. Raises Damaged.
        """
        path = self._path(name)
        try:
            with path.open("rb") as file:
                file.seek(start)
                return path.name, file.read(length), False
        except OSError as error:
            if sequence < self.kept:
                return path.name, None, False  # it was deleted in this moment
            missing = isinstance(error, FileNotFoundError)
            if missing and self._archive and name in self._archive.names(name, name):
                try:
                    return *self._archive.read(name, start, length), True
                except Damaged:
                    if sequence < self.kept:
                        return path.name, None, True
                    raise
            what = f"cannot be read: {error.strerror}"
            raise Damaged(path.name, start, sequence, what) from None

    def close(self) -> None:
        """Close the open files; the next write opens them again."""
        if self._file is not None:
            os.close(self._file)
        self._file = None
        self._acknowledged.close()

    def _reopen(self, first: Chunk) -> None:
        """Open the newest segment, and cut off what a failed write left there."""
        names = self._names()
        if not names:
            self._begin(first)
            return
        path = self._path(names[-1])
        self._file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._began_ms = first.received_ms
        if os.fstat(self._file).st_size > self._size:
            os.ftruncate(self._file, self._size)

    def _begin(self, first: Chunk) -> None:
        """Begin a segment."""
        self.close()
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self._path(first.sequence), flags, 0o600)
        self._size, self._began_ms = 0, first.received_ms
        _sync_folder(self._folder)

    def _checked_file(self, sequence: int) -> int:
        """The open segment, at its end. Raises Damaged: it has changed since the last write."""
        if self._file is None:
            raise OSError("no segment is open")
        found = os.fstat(self._file)
        if found.st_nlink and found.st_size == self._size:
            os.lseek(self._file, self._size, os.SEEK_SET)
            return self._file
        name = self._path(max(self._names(), default=sequence)).name
        what = f"has {found.st_size} bytes instead of {self._size}, as the last write left it"
        if not found.st_nlink:
            what = "was deleted while it was in use"
        raise Damaged(name, self._size, sequence, what)

    def _names(self) -> list[int]:
        return segment_names(self._folder)

    def _path(self, first: int) -> Path:
        return segment_path(self._folder, first)


def batched(chunks: Sequence[Chunk], size: int) -> Iterator[Sequence[Chunk]]:
    """The chunks in groups of `size`; the last group may be smaller."""
    for start in range(0, len(chunks), size):
        yield chunks[start : start + size]


def _write_group(file: int, group: Sequence[Chunk]) -> None:
    """Write chunks that share a disk sync."""
    heads = [head_of(chunk, position) for position, chunk in enumerate(group)]
    for start in range(0, len(group), MAX_CHUNKS_PER_WRITE):
        batch = range(start, min(start + MAX_CHUNKS_PER_WRITE, len(group)))
        _write_all(file, [part for at in batch for part in (heads[at], group[at].data)])


def _write_all(file: int, parts: Sequence[bytes]) -> None:
    written, size = os.writev(file, parts), sum(map(len, parts))
    if written < size:  # a full disk reports its error at the next write
        view = memoryview(b"".join(parts))[written:]
        while view:
            view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
