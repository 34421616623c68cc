"""The format of a record: how one chunk lies in a segment.

| bytes | field |
| --- | --- |
| 8 | sequence |
| 8 | time of arrival in Unix milliseconds |
| 4 | length of the data in the lower 17 bits; above them, the record's position in its write |
| 32 | SHA-256 of the data |
| 4 | CRC-32 of the fields before it |
| length | data |

Records that are written together are acknowledged together, after one disk sync. The position tells
which records these are: a power failure may leave a later one whole and an earlier one not. Earlier
releases wrote position 0 into each record.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from dataclasses import dataclass, field
from typing import Final

from dragon.protocol.streams.chunks import MAX_CHUNK_BYTES

SUFFIX: Final = ".chunks"  # of a segment's file name
_HEAD: Final = struct.Struct(">QQI32s")
_CHECK: Final = struct.Struct(">I")
HEAD_BYTES: Final = _HEAD.size + _CHECK.size  # record of a chunk without its data
_LENGTH_BITS: Final = 17  # enough for MAX_CHUNK_BYTES
MAX_CHUNKS_PER_SYNC: Final = 1 << (32 - _LENGTH_BITS)  # so that the position fits


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk that is not on disk yet."""

    sequence: int
    received_ms: int
    digest: bytes
    data: bytes = field(repr=False)
    value: int | None = field(default=None, repr=False)  # see `StoredChunk.value`

    def stored(self, offset: int) -> StoredChunk:
        """This chunk, once its record is at that offset of its segment."""
        return StoredChunk(
            self.sequence, self.received_ms, len(self.data), self.digest, offset, self.value
        )


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk that is on disk."""

    sequence: int
    received_ms: int
    length: int
    digest: bytes
    offset: int  # of its record in its segment
    # In a stream with readings the number that will be committed to; NO_READING for data without
    # one. None in other streams. It is not in the record: the data and the descriptor determine it.
    value: int | None = field(default=None, repr=False)

    @property
    def end(self) -> int:
        """The offset of the next record."""
        return self.offset + HEAD_BYTES + self.length


@dataclass(frozen=True, slots=True)
class Head:
    """The part of a record before its data."""

    sequence: int
    received_ms: int
    length: int
    position: int  # in the write that it belongs to
    digest: bytes

    @property
    def synced(self) -> int:
        """All chunks before this one were on disk when the record was written."""
        return self.sequence - self.position

    def stored(self, offset: int, value: int | None = None) -> StoredChunk:
        return StoredChunk(self.sequence, self.received_ms, self.length, self.digest, offset, value)


def head_of(chunk: Chunk, position: int) -> bytes:
    """Encode the part of the record before the data."""
    packed = len(chunk.data) | position << _LENGTH_BITS
    head = _HEAD.pack(chunk.sequence, chunk.received_ms, packed, chunk.digest)
    return head + _CHECK.pack(zlib.crc32(head))


def parse_head(raw: bytes) -> Head | None:
    """Decode a head. Returns None if it is incomplete, or does not have its checksum."""
    if len(raw) != HEAD_BYTES:
        return None
    sequence, received_ms, packed, digest = _HEAD.unpack_from(raw)
    if _CHECK.unpack_from(raw, _HEAD.size)[0] != zlib.crc32(raw[: _HEAD.size]):
        return None
    length = packed & (1 << _LENGTH_BITS) - 1
    if length > MAX_CHUNK_BYTES:
        return None
    return Head(sequence, received_ms, length, packed >> _LENGTH_BITS, digest)


def is_whole(head: Head, data: bytes) -> bool:
    """Whether the data is the data of the record."""
    return len(data) == head.length and hashlib.sha256(data).digest() == head.digest


def find_later(
    raw: bytes, start: int, sequence: int, *, of_any_write: bool = False
) -> tuple[int, Head] | None:
    """Find the first whole record from `start` on that was written after `sequence` was on disk.

    Such a record proves that a broken record of chunk `sequence` was acknowledged. With
    `of_any_write`, records that were written together with `sequence` are found, too.

    Returns the record's offset and its head.
    """
    last = sequence + 1 + (len(raw) - start) // HEAD_BYTES  # the disk holds no higher sequence
    low, high = (each.to_bytes(8, "big") for each in (sequence + 1, last))
    same = next((at for at in range(8) if low[at] != high[at]), 8)
    pattern = re.escape(low[:same])
    if any(low[same:]):  # so that runs of zeros, the common case, are passed quickly
        pattern += rb".{0,%d}[^\x00]" % (7 - same)
    # A record may begin anywhere, so each byte is a candidate.
    for match in re.finditer(rb"(?=%s)" % pattern, memoryview(raw)[start:], re.DOTALL):
        at = start + match.start()
        head = parse_head(raw[at : at + HEAD_BYTES])
        if head is None or (head.synced <= sequence and not of_any_write):
            continue
        data = raw[at + HEAD_BYTES : at + HEAD_BYTES + head.length]
        if is_whole(head, data):
            return at, head
    return None
