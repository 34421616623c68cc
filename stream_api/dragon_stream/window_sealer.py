"""Closes windows: turns stored chunks into commitments, chunk headers and one signed header.

Header and signature are on disk before anything about the window leaves the service. After a crash
before that, the chunks go into a new window, perhaps with later ones. After that, the window never
changes.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from dragon.errors import DiskError
from dragon.protocol.streams.chunks import chunk_headers, encode_chunks, opening
from dragon.protocol.streams.window import WindowHeader, close, sign
from dragon.stark.commitment import OPENING_BYTES
from dragon.stark.prover.blocks import hash_many
from dragon_stream.chunker import Chunker
from dragon_stream.keys import StreamKeys
from dragon_stream.records import StoredChunk
from dragon_stream.store import Store, WindowRow, WindowState, digests_of


@dataclass(slots=True)
class WindowSealer:
    """Closes the windows of one stream. Not thread-safe: one thread closes at a time."""

    keys: StreamKeys
    chunker: Chunker
    last: WindowHeader | None = None  # header of the last closed window
    total: int = 0  # bytes of the stream up to its end

    def close(self, store: Store, stored: list[StoredChunk], now_ms: int) -> WindowRow:
        """Close a window of these chunks. It is on disk when this returns."""
        row = self._row(stored, now_ms)
        store.close_window(row)
        self.last, self.total = row.header, row.total
        self.chunker.window_closed(len(stored))
        with suppress(DiskError):  # only a lower bound; the next window raises it again
            self.chunker.segments.window_closed(row.number + 1)
        return row

    def _row(self, stored: list[StoredChunk], now_ms: int) -> WindowRow:
        descriptor = self.keys.descriptor
        openings = openings_of(self.keys, stored[0].sequence, [chunk.digest for chunk in stored])
        received = [(chunk.received_ms, chunk.length) for chunk in stored]
        chunks = chunk_headers(stored[0].sequence, received, openings, hash_many)
        header = close(descriptor, self.last, chunks)
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
        )


def warm_up() -> None:
    """Load the compiled hash function, so that the first window need not wait for it."""
    hash_many([bytes(OPENING_BYTES)])


def openings_of(keys: StreamKeys, first: int, digests: list[bytes]) -> list[bytes]:
    """Openings of consecutive chunks from `first`. They are derived on demand, never stored."""
    return [
        opening(keys.salt, keys.descriptor.id, sequence, digest)
        for sequence, digest in enumerate(digests, start=first)
    ]


def window_openings(keys: StreamKeys, row: WindowRow) -> list[bytes]:
    """Openings of all chunks of a closed window."""
    return openings_of(keys, row.header.first, digests_of(row))
