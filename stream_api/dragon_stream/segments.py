"""A stream's data on disk: chunks one after the other, in files that only ever grow.

A record is sequence, time, length and digest of a chunk, a checksum of these, and the data. A
segment is named for its first chunk. Crash while writing: the last record is cut short, or its
digest is wrong; it was never acknowledged, and goes when the segment is opened again.
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

LARGEST: Final = 64 << 20  # bytes of a segment, about
_HEAD: Final = struct.Struct(">QQI32s")
_CHECK: Final = struct.Struct(">I")
HEAD_BYTES: Final = _HEAD.size + _CHECK.size
_SUFFIX: Final = ".chunks"
TOGETHER: Final = 512  # chunks in one call: the system takes 1,024 parts

Place: TypeAlias = tuple[int, int]  # sequence and length of a chunk


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of data as it was cut."""

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
    at: int  # where its record begins in its segment


def head_of(chunk: Chunk) -> bytes:
    """What stands before the data."""
    head = _HEAD.pack(chunk.sequence, chunk.received_ms, len(chunk.data), chunk.digest)
    return head + _CHECK.pack(zlib.crc32(head))


class Segments:
    """The files of one stream. Appended to by one thread, read by any."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file: int | None = None
        self._size = 0
        self._began_ms = 0  # when the first chunk came that was appended to the open segment
        self._another_after_ms = 0

    def recover(self, closed: Sequence[Place], at: int) -> list[StoredChunk]:
        """The chunks behind the last closed window, of which `closed` and `at` tell the place.

        What lies behind the last whole record is cut off: it was never acknowledged.
        """
        expected = closed[-1][0] + 1 if closed else 0
        names = self._names()
        before = [name for name in names if name <= expected][-1:]
        start = self._end(closed, at) if before and before[0] < expected else 0
        found: list[StoredChunk] = []
        for name in before + [name for name in names if name > expected]:
            if name > expected + len(found):
                self._path(name).unlink()  # nothing leads up to it
                continue
            size = self._path(name).stat().st_size
            scanned = self._scan(name, start, expected + len(found))
            ends = scanned[-1].at + HEAD_BYTES + scanned[-1].length if scanned else start
            if ends < size:
                os.truncate(self._path(name), ends)
            found, start = found + scanned, 0
        return found

    def _end(self, places: Sequence[Place], at: int) -> int:
        """Where the record behind these chunks begins, in its segment."""
        began = set(self._names())
        for sequence, length in places:
            at = (0 if sequence in began else at) + HEAD_BYTES + length
        return at

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
        """All of them are on disk when this returns, or none counts.

        Raises OSError: the disk is full, say. Whatever was written of them is cut off again.
        """
        full = self._size >= LARGEST or self._began_ms < self._another_after_ms
        if self._file is None or full:
            self._open(chunks[0], goes_on=self._file is None)
        file, at = self._file, self._size
        if file is None:
            raise OSError("no segment is open")
        kept = []
        for chunk in chunks:
            kept.append(
                StoredChunk(chunk.sequence, chunk.received_ms, len(chunk.data), chunk.digest, at)
            )
            at += HEAD_BYTES + len(chunk.data)
        try:
            for some in batched(chunks, TOGETHER):
                _write_all(file, [part for chunk in some for part in (head_of(chunk), chunk.data)])
            os.fdatasync(file)
        except OSError:
            os.ftruncate(file, self._size)
            os.lseek(file, self._size, os.SEEK_SET)
            raise
        self._size = at
        return kept

    def forget(self, sequence: int, before_ms: int) -> None:
        """Remove the segments that hold only chunks before this one, but never the newest; one that
        began before `before_ms` is followed by another, so that it can go in its time."""
        self._another_after_ms = before_ms
        names = self._names()
        for name, following in pairwise(names):
            if following <= sequence:
                self._path(name).unlink(missing_ok=True)

    def size(self) -> int:
        """Bytes of all of them."""
        return sum(self._path(name).stat().st_size for name in self._names())

    def read(self, places: Sequence[Place], at: int) -> bytes | None:
        """The data of the last of these chunks; None where it was forgotten.

        Args:
            places: of the chunks of a window, from its first to the one that is asked for.
            at: where the first of them begins in its segment.
        """
        sequence, length = places[-1]
        names = [name for name in self._names() if name <= sequence]
        if not names:
            return None
        offset = 0 if names[-1] == sequence else self._end(places[:-1], at)
        try:
            with self._path(names[-1]).open("rb") as file:
                file.seek(offset)
                head, data = file.read(HEAD_BYTES), file.read(length)
        except FileNotFoundError:
            return None
        whole = len(head) == HEAD_BYTES and len(data) == length
        return data if whole and _HEAD.unpack_from(head)[0] == sequence else None

    def _open(self, first: Chunk, *, goes_on: bool) -> None:
        """After a start go on with the newest segment, else begin one."""
        names = self._names()
        path = self._path(names[-1] if goes_on and names else first.sequence)
        self.close()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.lseek(self._file, 0, os.SEEK_END)
        self._began_ms = first.received_ms
        _sync_folder(self._folder)

    def close(self) -> None:
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
    if written < size:  # a disk that is full says so at the next write
        view = memoryview(b"".join(parts))[written:]
        while view:
            view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
