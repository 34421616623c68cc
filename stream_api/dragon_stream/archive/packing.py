"""Makes the objects of the archive from what is on disk. Damaged data is never archived."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dragon_stream.archive.index import ArchivedProof
from dragon_stream.archive.objects import ArchivedObject, Kind
from dragon_stream.damage import Damaged
from dragon_stream.records import HEAD_BYTES, is_whole, parse_head
from dragon_stream.recovery import segment_path
from dragon_stream.store import Store, digests_of
from dragon_stream.stream_tables import FILE


@dataclass(frozen=True, slots=True)
class Packed:
    """An object with its bytes, ready to be uploaded."""

    object: ArchivedObject
    data: bytes = field(repr=False)
    proofs: Sequence[ArchivedProof] = ()


def pack_segment(store: Store, stream: bytes, folder: Path, first: int, following: int) -> Packed:
    """A segment that holds the chunks from `first` to `following`, all in certified windows.

    Raises:
        Damaged: it is not as it was certified.
        ChunkDamaged: the row of a window is damaged.
        OSError: it cannot be read.
    """
    path = segment_path(folder, first)
    raw = path.read_bytes()
    at, newest_ms, digests = 0, 0, _Digests(store, stream)
    for sequence in range(first, following):
        head = parse_head(raw[at : at + HEAD_BYTES])
        if head is None or head.sequence != sequence:
            raise Damaged(path.name, at, sequence, "has no record of the chunk there")
        data = raw[at + HEAD_BYTES : at + HEAD_BYTES + head.length]
        if not is_whole(head, data):
            raise Damaged(path.name, at, sequence, "has data that differs from its digest")
        if head.digest != digests.of(sequence):
            raise Damaged(path.name, at, sequence, f"has other data than {FILE}")
        at, newest_ms = at + HEAD_BYTES + head.length, max(newest_ms, head.received_ms)
    if at != len(raw):
        what = "has something else after its last chunk"
        raise Damaged(path.name, at, following, what)
    digest = hashlib.sha256(raw).digest()
    found = ArchivedObject(stream, Kind.SEGMENT, first, following - 1, digest, len(raw), newest_ms)
    return Packed(found, raw)


def pack_proofs(store: Store, stream: bytes, numbers: Sequence[int]) -> Packed | None:
    """The proofs of certified windows, one after the other; None if none is left of them.

    Raises ChunkDamaged: the row of a window is damaged.
    """
    data, proofs, newest_ms = bytearray(), [], 0
    for number in numbers:
        row = store.needed_window(stream, number)
        if row.proof is None:
            continue  # deleted after its retention time
        digest = hashlib.sha256(row.proof).digest()
        place = ArchivedProof(number, numbers[0], len(data), len(row.proof), digest)
        proofs.append(place)
        data += row.proof
        newest_ms = max(newest_ms, row.closed_ms)
    if not proofs:
        return None
    raw, last = bytes(data), numbers[-1]
    digest = hashlib.sha256(raw).digest()
    found = ArchivedObject(stream, Kind.PROOFS, numbers[0], last, digest, len(raw), newest_ms)
    return Packed(found, raw, proofs)


class _Digests:
    """The digests of a stream's chunks, asked for in order."""

    def __init__(self, store: Store, stream: bytes) -> None:
        self._store = store
        self._stream = stream
        self._first = 0
        self._found: list[bytes] = []

    def of(self, sequence: int) -> bytes | None:
        if not self._first <= sequence < self._first + len(self._found):
            row = self._store.window_of(self._stream, sequence)
            if row is None:
                return None
            self._first, self._found = row.header.first, digests_of(row)
        return self._found[sequence - self._first]
