"""Closes windows: turns stored chunks into commitments, chunk headers and one signed header.

Header and signature are on disk before anything about the window leaves the service. After a crash
before that, the chunks go into a new window, perhaps with later ones. After that, the window never
changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from dragon.errors import DiskError
from dragon.protocol.streams.chunks import (
    ChunkHeader,
    chunk_headers,
    encode_chunks,
    opening,
    opening_with_reading,
)
from dragon.protocol.streams.closing import Closing, decide
from dragon.protocol.streams.statements import statement_of
from dragon.protocol.streams.window import WindowHeader, close, sign
from dragon_stream.chunk_readings import ChunkReading, decode, encode
from dragon_stream.chunker import Chunker
from dragon_stream.kernels import hash_many
from dragon_stream.keys import StreamKeys
from dragon_stream.records import StoredChunk
from dragon_stream.store import Store, WindowRow, digests_of
from dragon_stream.window_state import WindowState


@dataclass(slots=True)
class WindowSealer:
    """Closes the windows of one stream. Not thread-safe: one thread closes at a time."""

    keys: StreamKeys
    chunker: Chunker
    last: WindowHeader | None = None  # header of the last closed window
    total: int = 0  # bytes of the stream up to its end
    last_value: int | None = field(default=None, repr=False)  # committed to by its last chunk

    def resume(self, row: WindowRow) -> None:
        """Continue after the last closed window. It is known after a start only from its row."""
        self.last, self.total = row.header, row.total
        if row.readings is not None:
            self.last_value = decode(row.readings)[-1].value

    def close(self, store: Store, stored: list[StoredChunk], now_ms: int) -> WindowRow:
        """Close a window of these chunks. It is on disk when this returns."""
        row = self._row(stored, now_ms)
        store.close_window(row)
        self.resume(row)
        self.chunker.window_closed(len(stored))
        with suppress(DiskError):  # only a lower bound; the next window raises it again
            self.chunker.segments.window_closed(row.number + 1)
        return row

    def _row(self, stored: list[StoredChunk], now_ms: int) -> WindowRow:
        descriptor, readings = self.keys.descriptor, self.keys.descriptor.readings
        chunks = self._headers(stored)
        header = close(descriptor, self.last, chunks, self._decide(stored))
        return WindowRow(
            descriptor.id,
            header.number,
            header,
            sign(header, descriptor, self.keys.header),
            self.total + sum(chunk.length for chunk in stored),
            stored[0].offset,
            encode_chunks(chunks),
            b"".join(chunk.digest for chunk in stored),
            now_ms,
            WindowState.CLOSED,
            None,
            0,
            None,
            statement_of(descriptor, header),
            encode(ChunkReading(_value(each), each.length) for each in stored)
            if readings
            else None,
        )

    def _headers(self, stored: list[StoredChunk]) -> tuple[ChunkHeader, ...]:
        """The chunk headers. With readings all state one length, so that none tells a number's."""
        readings, first = self.keys.descriptor.readings, stored[0].sequence
        received = [
            (chunk.received_ms, readings.length if readings else chunk.length) for chunk in stored
        ]
        digests = [chunk.digest for chunk in stored]
        values = [_value(chunk) for chunk in stored] if readings else None
        return chunk_headers(
            first, received, openings_of(self.keys, first, digests, values), hash_many
        )

    def _decide(self, stored: list[StoredChunk]) -> Closing | None:
        """What the header claims about the readings. It is fixed before anything is proven."""
        readings = self.keys.descriptor.readings
        if readings is None:
            return None
        number = self.last.number + 1 if self.last else 0
        carried = self.last_value if readings.is_carried(number) else None
        return decide(readings, [_value(chunk) for chunk in stored], carried)


def _value(chunk: StoredChunk) -> int:
    """The number that is committed to, in a stream with readings."""
    if chunk.value is None:
        raise ValueError(f"chunk {chunk.sequence} was stored without a reading")
    return chunk.value


def openings_of(
    keys: StreamKeys, first: int, digests: list[bytes], values: Sequence[int] | None = None
) -> list[bytes]:
    """Openings of consecutive chunks from `first`. They are derived on demand, never stored.

    `values`: in a stream with readings, the numbers that are committed to.
    """
    salt, stream = keys.salt, keys.descriptor.id
    if values is None:
        return [
            opening(salt, stream, sequence, digest)
            for sequence, digest in enumerate(digests, start=first)
        ]
    return [
        opening_with_reading(salt, stream, sequence, digest, value)
        for sequence, (digest, value) in enumerate(zip(digests, values, strict=True), start=first)
    ]


def window_openings(keys: StreamKeys, row: WindowRow) -> list[bytes]:
    """Openings of all chunks of a closed window."""
    values = None if row.readings is None else [each.value for each in decode(row.readings)]
    return openings_of(keys, row.header.first, digests_of(row), values)
