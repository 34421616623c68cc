"""The streams of this service: made, found again after a start, and stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol import bls
from dragon.protocol.streams.chunks import decode_chunks
from dragon_stream.chunker import Intake, Writer
from dragon_stream.keys import SEED_BYTES, StreamKeys
from dragon_stream.segments import Place, Segments
from dragon_stream.store import Store, StreamRow, WindowRow
from dragon_stream.window_sealer import WindowSealer

MOST_STREAMS: Final = 64

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """What somebody asks of a new stream."""

    name: str
    parameters: str
    chunk_bytes: int
    window_chunks: int
    window_ms: int
    mode: str
    retention_seconds: int


@dataclass(slots=True)
class Stream:
    """A stream at work. `windows` belongs to whoever closes windows."""

    row: StreamRow
    keys: StreamKeys
    intake: Intake
    windows: WindowSealer

    @property
    def id(self) -> bytes:
        return self.row.stream


class Streams:
    """All of them, by id. Owns the folder with their data."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        service: bls.SecretKey,
        committee_id: bytes,
        writer: Writer,
        *,
        entropy: Callable[[int], bytes],
        now_ms: Callable[[], int],
        notice: Callable[[Intake], None],
    ) -> None:
        self._store = store
        self._folder = folder
        self._service = service
        self._committee_id = committee_id
        self._writer = writer
        self._entropy = entropy
        self._now_ms = now_ms
        self._notice = notice
        self._lock = threading.Lock()  # one stream is made at a time
        self._streams: dict[bytes, Stream] = {}
        for row in store.streams():
            self._streams[row.stream] = self._load(row)

    def all(self) -> list[Stream]:
        return list(self._streams.values())

    def get(self, stream: bytes) -> Stream:
        """Raises NotFound."""
        if (found := self._streams.get(stream)) is None:
            raise errors.NotFound("this service has no such stream")
        return found

    def make(self, wanted: StreamConfig) -> tuple[Stream, bool]:
        """A new stream, or the one of that name if it is as wanted; and whether it is new.

        Raises AlreadyMade: the one of that name is otherwise. Busy: as many as there may be.
        """
        with self._lock:
            for known in self._streams.values():
                if known.row.name == wanted.name:
                    _check_same(known.row, wanted)
                    return known, False
            if len(self._streams) >= MOST_STREAMS:
                raise errors.Busy(f"there are {MOST_STREAMS} streams already")
            row = self._row(wanted)
            self._store.add_stream(row)
            made = self._streams[row.stream] = self._load(row)
        logger.info("stream_made", stream=to_hex(row.stream), name=row.name)
        return made, True

    def stop(self, stream: Stream, why: str) -> None:
        """It takes nothing more; what is certified stays so."""
        self._store.stop_stream(stream.id, why)
        stream.row = replace(stream.row, stopped=why)
        stream.intake.stop(why)
        logger.error("stream_stopped", stream=to_hex(stream.id), reason=why)

    def close(self) -> None:
        for stream in self._streams.values():
            stream.intake.segments.close()

    def _row(self, wanted: StreamConfig) -> StreamRow:
        seed = self._entropy(SEED_BYTES)
        keys = self._keys(seed, wanted.parameters, wanted.name)
        return StreamRow(
            keys.descriptor.id,
            wanted.name,
            seed,
            wanted.parameters,
            wanted.chunk_bytes,
            wanted.window_chunks,
            wanted.window_ms,
            wanted.mode,
            wanted.retention_seconds,
            self._now_ms(),
        )

    def _keys(self, seed: bytes, parameters: str, name: str) -> StreamKeys:
        return StreamKeys.derive(self._service, seed, self._committee_id, parameters, name)

    def _load(self, row: StreamRow) -> Stream:
        """Raises KeystoreError: it was made under another key or committee."""
        keys = self._keys(row.seed, row.parameters, row.name)
        if keys.descriptor.id != row.stream:
            message = f"the stream {row.name} was made under another key, or for another committee"
            raise errors.KeystoreError(message)
        segments = Segments(self._folder / row.stream.hex())
        intake = Intake(row, segments, self._writer, self._now_ms, self._notice)
        last = self._store.last_window(row.stream)
        kept = segments.recover(places(last) if last else [], last.at if last else 0)
        windows = WindowSealer(keys, intake)
        if last:
            windows.last, windows.total = last.header, last.total
            header = last.header
            intake.resume(header.next_first, last.total, header.last_received_ms, kept)
        else:
            intake.resume(0, 0, 0, kept)
        if row.stopped:
            intake.stop(row.stopped)
        return Stream(row, keys, intake, windows)


def places(row: WindowRow) -> list[Place]:
    """Sequence and length of the chunks of a closed window."""
    return [(chunk.sequence, chunk.length) for chunk in decode_chunks(row.chunks)]


def _check_same(row: StreamRow, wanted: StreamConfig) -> None:
    for name in StreamConfig.__slots__:
        if getattr(row, name) != getattr(wanted, name):
            message = f"the stream {row.name} is there already, with {name} {getattr(row, name)}"
            raise errors.AlreadyMade(message, member=name)
