"""Reads segments and proofs from the archive: with a deadline, in bounded memory, trusting nothing.

A read takes the blocks around the requested bytes, so that reading chunk after chunk takes one
request for many. Blocks are not verified here: the caller compares what it asked for with a digest
from the database, and calls `forget` if it differs.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from dragon.errors import ArchiveUnavailable, Busy
from dragon_stream.archive.index import ArchiveIndex
from dragon_stream.archive.objects import (
    ArchivedObject,
    Body,
    Kind,
    ObjectDiffers,
    ObjectStore,
    State,
    check_size,
    faults_as_damage,
)
from dragon_stream.damage import Damaged

BLOCK_BYTES: Final = 256 << 10  # read from an object at once, at least
CACHE_BYTES: Final = 16 << 20  # of blocks that are kept in memory, those of all streams together
MAX_CONCURRENT_READS: Final = 8  # requests to the store
READ_WAIT_SECONDS: Final = 5.0  # time that a read waits for others to end
PAUSE_SECONDS: Final = 2.0  # after a failure, without a request to the store


class ArchiveReader:
    """The archive of all streams. Several threads may read."""

    def __init__(
        self, store: ObjectStore, index: ArchiveIndex, monotonic: Callable[[], float]
    ) -> None:
        self._store = store
        self._index = index
        self._monotonic = monotonic
        self._places = threading.BoundedSemaphore(MAX_CONCURRENT_READS)
        self._lock = threading.Lock()  # guards everything below
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._cached = 0  # bytes
        self._failed_at: float | None = None
        self._failure = ""

    def read(self, found: ArchivedObject, start: int, length: int) -> bytes:
        """Bytes of an object, not verified.

        Raises:
            Damaged: the archive does not have the object, or another one of its name.
            ArchiveUnavailable: it cannot be read now.
            Busy: too many others are reading.
        """
        end = min(start + length, found.size)
        wanted = range(start // BLOCK_BYTES, -(-end // BLOCK_BYTES))
        blocks = {
            number: block for number in wanted if (block := self._cached_block(found, number))
        }
        if missing := [number for number in wanted if number not in blocks]:
            blocks |= self._fetch(found, missing[0], missing[-1] + 1)
        skipped = start - wanted.start * BLOCK_BYTES
        return b"".join(blocks[number] for number in wanted)[skipped : skipped + length]

    def proof(self, stream: bytes, number: int) -> bytes | None:
        """A window's proof; None if the archive has none.

        Raises as `read`; ChunkDamaged: a row of the index is damaged.
        """
        place = self._index.proof(stream, number)
        if place is None:
            return None
        found = self._index.find(stream, Kind.PROOFS, place.first)
        if found is None or found.state is not State.STORED:
            return None
        try:
            proof = self.read(found, place.at, place.size)
        except Damaged:
            if self._index.proof(stream, number) is None:
                return None  # it was deleted in this moment
            raise
        if hashlib.sha256(proof).digest() != place.sha256:
            self.forget(found)
            what = f"has another proof of window {number} in the archive"
            raise Damaged(found.short_name, place.at, None, what)
        return proof

    def forget(self, found: ArchivedObject) -> None:
        """Drop what is kept of an object, because it is wrong."""
        with self._lock:
            for key in [key for key in self._blocks if key[0] == found.name]:
                self._cached -= len(self._blocks.pop(key))

    def of(self, stream: bytes) -> StreamArchive:
        return StreamArchive(self, self._index, stream)

    def _cached_block(self, found: ArchivedObject, number: int) -> bytes | None:
        with self._lock:
            if block := self._blocks.get((found.name, number)):
                self._blocks.move_to_end((found.name, number))
            return block

    def _fetch(self, found: ArchivedObject, first: int, following: int) -> dict[int, bytes]:
        """Fetch consecutive blocks with one request."""
        start = first * BLOCK_BYTES
        raw = self._request(found, start, min(following * BLOCK_BYTES, found.size) - start)
        blocks = {
            number: raw[(number - first) * BLOCK_BYTES :][:BLOCK_BYTES]
            for number in range(first, following)
        }
        with self._lock:
            for number, block in blocks.items():
                self._cached += len(block) - len(self._blocks.pop((found.name, number), b""))
                self._blocks[found.name, number] = block
            while self._cached > CACHE_BYTES:
                self._cached -= len(self._blocks.popitem(last=False)[1])
        return blocks

    def _request(self, found: ArchivedObject, start: int, length: int) -> bytes:
        self._check_pause()
        if not self._places.acquire(timeout=READ_WAIT_SECONDS):
            raise Busy("too many requests read from the archive; try again")
        try:
            with faults_as_damage(found):
                body = self._store.get(found.name, start, length)
                check_size(found, body.size)
                return _joined(body, length)
        except ArchiveUnavailable as error:
            with self._lock:
                self._failed_at, self._failure = self._monotonic(), str(error)
            raise
        finally:
            self._places.release()

    def _check_pause(self) -> None:
        """Many readers must not all wait for a store that is down. Raises ArchiveUnavailable."""
        with self._lock:
            failed_at, failure = self._failed_at, self._failure
        if failed_at is not None and self._monotonic() < failed_at + PAUSE_SECONDS:
            raise ArchiveUnavailable(failure)


@dataclass(frozen=True, slots=True)
class StreamArchive:
    """The archived segments of one stream, for `Segments`."""

    reader: ArchiveReader = field(repr=False)
    index: ArchiveIndex = field(repr=False)
    stream: bytes

    def names(self, low: int, high: int) -> list[int]:
        """The first chunks of archived segments: the last one up to `low`, and all up to `high`."""
        return self.index.segment_names(self.stream, low, high)

    def end(self) -> int:
        """All chunks before this one that the retention keeps are in the archive."""
        return self.index.archived_chunks(self.stream)

    def read(self, first: int, start: int, length: int) -> tuple[str, bytes]:
        """The name of a segment in the archive, and bytes of it. Raises as `ArchiveReader.read`."""
        found = self._object(first)
        return found.short_name, self.reader.read(found, start, length)

    def forget(self, first: int) -> None:
        """Drop what is kept of a segment, because it is wrong."""
        self.reader.forget(self._object(first))

    def _object(self, first: int) -> ArchivedObject:
        found = self.index.find(self.stream, Kind.SEGMENT, first)
        if found is None:
            raise Damaged(f"{first:016d}", None, first, "is missing in the archive")
        return found


def _joined(body: Body, length: int) -> bytes:
    """Raises ObjectDiffers: the store sends more, or less, than it was asked for."""
    pieces, read = [], 0
    for piece in body.pieces:
        pieces.append(piece)
        read += len(piece)
        if read > length:
            break
    if read != length:
        raise ObjectDiffers(f"sends {read} bytes instead of {length}")
    return b"".join(pieces)
