"""What the service keeps of each chunk of a closed window in a stream with readings.

The opening of a commitment contains the number that was committed to, so the number is kept with
the window, like the digest: both outlive the data, which the retention deletes. The length of the
data is kept because chunk headers do not tell it; it leads to the chunk in its segment.

Both are secrets of the stream's owner. Nothing that strangers can read tells the lengths, not even
added up: the length of a number's text tells how many digits it has, and its sign.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from dragon.stark.commitment import READING_OFFSET

_ENTRY: Final = struct.Struct(">QI")  # the number plus 2^59, as in an opening; bytes of data
ENTRY_BYTES: Final = _ENTRY.size

CommittedValue: TypeAlias = Callable[[bytes], int]  # see `Readings.committed_value`


@dataclass(frozen=True, slots=True)
class ChunkReading:
    """The number that a chunk's commitment contains, and the length of its data."""

    value: int  # in [-2^59, 2^59); NO_READING if the data holds no number
    length: int  # bytes


def encode(readings: Iterable[ChunkReading]) -> bytes:
    """Encode what is kept of the chunks of a window, ENTRY_BYTES each."""
    return b"".join(_ENTRY.pack(each.value + READING_OFFSET, each.length) for each in readings)


def decode(raw: bytes) -> list[ChunkReading]:
    """Decode the result of `encode`. Raises ValueError: it does not consist of whole entries."""
    if len(raw) % ENTRY_BYTES:
        raise ValueError(f"{len(raw)} bytes are no list of readings")
    return [
        ChunkReading(stored - READING_OFFSET, length) for stored, length in _ENTRY.iter_unpack(raw)
    ]
