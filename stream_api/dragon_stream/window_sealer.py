"""Closing windows: chunks that are safe become commitments, chunk headers and one signed header.

Header and signature are on disk before anything of the window leaves. Crash before that: the same
chunks are put into a window again, perhaps with more of those that follow. Crash after it: the
window stands as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dragon.protocol.streams.chunks import chunk_headers, encode_chunks, opening
from dragon.protocol.streams.window import WindowHeader, close, sign
from dragon.stark.commitment import OPENING_BYTES
from dragon.stark.prover.blocks import hash_many
from dragon_stream.chunker import Intake
from dragon_stream.keys import StreamKeys
from dragon_stream.segments import StoredChunk
from dragon_stream.store import State, Store, WindowRow

DIGEST_BYTES: Final = 32


@dataclass(slots=True)
class WindowSealer:
    """One stream's closed windows, as far as closing the next one needs them."""

    keys: StreamKeys
    intake: Intake
    last: WindowHeader | None = None
    total: int = 0  # bytes up to its end

    def close(self, store: Store, kept: list[StoredChunk], now_ms: int) -> WindowRow:
        """Close a window with these chunks; it is on disk when this returns."""
        row = self._row(kept, now_ms)
        store.close_window(row)
        self.last, self.total = row.header, row.total
        self.intake.closed(len(kept))
        return row

    def _row(self, kept: list[StoredChunk], now_ms: int) -> WindowRow:
        descriptor = self.keys.descriptor
        openings = openings_of(self.keys, kept[0].sequence, [each.digest for each in kept])
        received = [(each.received_ms, each.length) for each in kept]
        chunks = chunk_headers(kept[0].sequence, received, openings, hash_many)
        header = close(descriptor, self.last, chunks)
        return WindowRow(
            descriptor.id,
            header.number,
            header,
            sign(header, descriptor, self.keys.header),
            self.total + sum(each.length for each in kept),
            kept[0].at,
            encode_chunks(chunks),
            b"".join(each.digest for each in kept),
            now_ms,
            State.CLOSED,
            None,
            0,
            None,
        )


def warm() -> None:
    """Load what makes commitments, which takes a moment, before the first window needs it."""
    hash_many([bytes(OPENING_BYTES)])


def openings_of(keys: StreamKeys, first: int, digests: list[bytes]) -> list[bytes]:
    """What opens the commitments of consecutive chunks; made again whenever it is needed."""
    return [
        opening(keys.salt, keys.descriptor.id, sequence, digest)
        for sequence, digest in enumerate(digests, start=first)
    ]


def digests_of(row: WindowRow) -> list[bytes]:
    raw = row.digests
    return [raw[at : at + DIGEST_BYTES] for at in range(0, len(raw), DIGEST_BYTES)]


def window_openings(keys: StreamKeys, row: WindowRow) -> list[bytes]:
    """Of all the chunks of a closed window."""
    return openings_of(keys, row.header.first, digests_of(row))
