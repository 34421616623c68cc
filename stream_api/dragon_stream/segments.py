"""A stream's data on disk: records of chunks in append-only files, called segments.

A record consists of a chunk's sequence, time, length and digest, a checksum of these, and the data.
A segment is named after its first chunk. A crash during a write leaves an incomplete record or a
wrong digest; such a record was never acknowledged and is removed by `Segments.recover`.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeAlias

from dragon.protocol.streams.chunks import MAX_CHUNK_BYTES
from dragon.storage.permissions import PRIVATE_FOLDER, make_folder

MAX_SEGMENT_BYTES: Final = 64 << 20  # segment of data, approximately: the last write may exceed it
MAX_CHUNKS_PER_WRITE: Final = 512  # chunks in a system call, which accepts 1,024 parts, two a chunk
_HEAD: Final = struct.Struct(">QQI32s")  # sequence, received_ms, length, digest
_CHECK: Final = struct.Struct(">I")  # CRC-32 of the head
HEAD_BYTES: Final = _HEAD.size + _CHECK.size  # record of a chunk without its data
_SUFFIX: Final = ".chunks"

ChunkLength: TypeAlias = tuple[int, int]  # sequence and length in bytes of a chunk


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk that is not on disk yet."""

    sequence: int
    received_ms: int
    digest: bytes
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk that is on disk."""

    sequence: int
    received_ms: int
    length: int
    digest: bytes
    offset: int  # of its record in its segment


def head_of(chunk: Chunk) -> bytes:
    """The part of the record before the data."""
    head = _HEAD.pack(chunk.sequence, chunk.received_ms, len(chunk.data), chunk.digest)
    return head + _CHECK.pack(zlib.crc32(head))


class Segments:
    """The segments of one stream. One thread may append, all may read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        make_folder(folder, PRIVATE_FOLDER)
        self._file: int | None = None
        self._size = 0
        self._began_ms = 0  # arrival of the first chunk that was appended to the open segment
        self._rotate_before_ms = 0  # a segment that began earlier is followed by another

    def recover(self, closed: Sequence[ChunkLength], offset: int) -> list[StoredChunk]:
        """Find the chunks after the last closed window, and truncate after the last whole record.

        Args:
            closed: the chunks of the last closed window; empty if there is none.
            offset: of the first of them in its segment.
        """
        expected = closed[-1][0] + 1 if closed else 0
        names = self._names()
        before = [name for name in names if name <= expected][-1:]
        start = self._end(closed, offset) if before and before[0] < expected else 0
        found: list[StoredChunk] = []
        for name in before + [name for name in names if name > expected]:
            if name > expected + len(found):
                self._path(name).unlink()  # the chunks before it are missing
                continue
            size = self._path(name).stat().st_size
            scanned = self._scan(name, start, expected + len(found))
            ends = scanned[-1].offset + HEAD_BYTES + scanned[-1].length if scanned else start
            if ends < size:
                os.truncate(self._path(name), ends)
            found, start = found + scanned, 0
        return found

    def _end(self, chunks: Sequence[ChunkLength], offset: int) -> int:
        """The offset, in its segment, of the record after these chunks."""
        first_chunks = set(self._names())
        for sequence, length in chunks:
            offset = (0 if sequence in first_chunks else offset) + HEAD_BYTES + length
        return offset

    def _scan(self, name: int, start: int, expected: int) -> list[StoredChunk]:
        found: list[StoredChunk] = []
        with self._path(name).open("rb") as file:
            file.seek(start)
            while len(head := file.read(HEAD_BYTES)) == HEAD_BYTES:
                sequence, received_ms, length, digest = _HEAD.unpack_from(head)
                (check,) = _CHECK.unpack_from(head, _HEAD.size)
                if check != zlib.crc32(head[: _HEAD.size]) or sequence != expected + len(found):
                    break
                data = file.read(length) if length <= MAX_CHUNK_BYTES else b""
                if len(data) != length or hashlib.sha256(data).digest() != digest:
                    break
                found.append(StoredChunk(sequence, received_ms, length, digest, start))
                start += HEAD_BYTES + length
        return found

    def append(self, chunks: Sequence[Chunk]) -> list[StoredChunk]:
        """Write chunks and sync the disk.

        Raises OSError: for example, the disk is full. Then none of the chunks is stored.
        """
        full = self._size >= MAX_SEGMENT_BYTES or self._began_ms < self._rotate_before_ms
        if self._file is None or full:
            self._open(chunks[0], reuse=self._file is None)
        file, offset = self._file, self._size
        if file is None:
            raise OSError("no segment is open")
        stored = []
        for chunk in chunks:
            length = len(chunk.data)
            stored.append(
                StoredChunk(chunk.sequence, chunk.received_ms, length, chunk.digest, offset)
            )
            offset += HEAD_BYTES + length
        try:
            for batch in batched(chunks, MAX_CHUNKS_PER_WRITE):
                _write_all(file, [part for chunk in batch for part in (head_of(chunk), chunk.data)])
            os.fdatasync(file)
        except OSError:
            os.ftruncate(file, self._size)
            os.lseek(file, self._size, os.SEEK_SET)
            raise
        self._size = offset
        return stored

    def forget(self, sequence: int, before_ms: int) -> None:
        """Delete the segments that hold only chunks before `sequence`, except the newest.

        The next write starts another segment if the newest one began before `before_ms`, so that
        the newest one can be deleted later. `before_ms` is in Unix milliseconds.
        """
        self._rotate_before_ms = before_ms
        names = self._names()
        for name, following in pairwise(names):
            if following <= sequence:
                self._path(name).unlink(missing_ok=True)

    def size(self) -> int:
        """Bytes of all segments."""
        return sum(self._path(name).stat().st_size for name in self._names())

    def read(self, chunks: Sequence[ChunkLength], offset: int) -> bytes | None:
        """The data of the last of these chunks, or None if it was deleted.

        Args:
            chunks: the chunks of a window, from its first to the requested one.
            offset: of the first of them in its segment.
        """
        sequence, length = chunks[-1]
        names = [name for name in self._names() if name <= sequence]
        if not names:
            return None
        start = 0 if names[-1] == sequence else self._end(chunks[:-1], offset)
        try:
            with self._path(names[-1]).open("rb") as file:
                file.seek(start)
                head, data = file.read(HEAD_BYTES), file.read(length)
        except FileNotFoundError:
            return None
        whole = len(head) == HEAD_BYTES and len(data) == length
        return data if whole and _HEAD.unpack_from(head)[0] == sequence else None

    def _open(self, first: Chunk, *, reuse: bool) -> None:
        """Open a new segment, or the newest existing one if `reuse` is set."""
        names = self._names()
        path = self._path(names[-1] if reuse and names else first.sequence)
        self.close()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.lseek(self._file, 0, os.SEEK_END)
        self._began_ms = first.received_ms
        _sync_folder(self._folder)

    def close(self) -> None:
        """Close the open segment; the next write opens it again."""
        if self._file is not None:
            os.close(self._file)
        self._file, self._size = None, 0

    def _names(self) -> list[int]:
        stems = (path.name.removesuffix(_SUFFIX) for path in self._folder.glob(f"*{_SUFFIX}"))
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def _path(self, first: int) -> Path:
        return self._folder / f"{first:016d}{_SUFFIX}"


def batched(chunks: Sequence[Chunk], size: int) -> Iterator[Sequence[Chunk]]:
    for start in range(0, len(chunks), size):
        yield chunks[start : start + size]


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
