"""The streams of this service: created, loaded at start, and stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import structlog

from dragon import errors
from dragon.encoding import canonical, to_hex
from dragon.protocol import bls
from dragon.protocol.streams.readings import Readings
from dragon.storage.disk import Disk
from dragon_stream.chunk_readings import CommittedValue
from dragon_stream.chunker import Chunker
from dragon_stream.damage import NO_STREAM, Damage, DamageReports
from dragon_stream.keys import SEED_BYTES, StreamKeys
from dragon_stream.recovery import UNKNOWN, ChunkLength, Closed, unknown_folders
from dragon_stream.segments import ArchivedSegments, Segments
from dragon_stream.store import Store, StreamRow, WindowRow
from dragon_stream.stream_tables import FILE
from dragon_stream.window_sealer import WindowSealer
from dragon_stream.window_sizes import WindowSizes, may_adapt
from dragon_stream.writer import Writer

MAX_STREAMS: Final = 64  # streams of a service

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """The requested settings of a new stream."""

    name: str
    parameters: str
    chunk_bytes: int
    window_chunks: int | None  # of every window; None: as many as suit the rate
    window_ms: int
    mode: str
    retention_seconds: int
    readings: Readings | None = None

    def sizes(self) -> WindowSizes:
        """The sizes of the stream's windows."""
        if self.window_chunks is not None:
            return WindowSizes.fixed(self.window_chunks)
        sizes = WindowSizes.adaptive(self.readings, self.window_ms)
        return sizes if may_adapt(self.readings) else WindowSizes.fixed(sizes.sizes[0])


_COMPARED: Final = tuple(
    name for name in StreamConfig.__slots__ if name not in {"readings", "window_chunks"}
)


@dataclass(slots=True)
class Stream:
    """A running stream. Only the thread that closes windows may use `sealer`."""

    row: StreamRow
    keys: StreamKeys
    chunker: Chunker
    sealer: WindowSealer

    @property
    def id(self) -> bytes:
        return self.row.stream

    @property
    def readings(self) -> Readings | None:
        return self.keys.descriptor.readings


class Archives(Protocol):
    """Where the archived segments of a stream are; see `dragon_stream.archive.reader`."""

    def of(self, stream: bytes) -> ArchivedSegments:
        """The archived segments of a stream."""


class Streams:
    """All streams, by id, and the folder with their data."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        service: bls.SecretKey,
        network_id: bytes,
        writer: Writer,
        *,
        damages: DamageReports,
        disk: Disk,
        entropy: Callable[[int], bytes],
        now_ms: Callable[[], int],
        on_full_window: Callable[[Chunker], None],
        archive: Archives | None = None,
        segment_bytes: int | None = None,
    ) -> None:
        """`archive` and `segment_bytes`: see `Segments`."""
        self._archive = archive
        self._segment_bytes = segment_bytes
        self._store = store
        self._folder = folder
        self._service = service
        self._network_id = network_id
        self._writer = writer
        self._damages = damages
        self._disk = disk
        self._entropy = entropy
        self._now_ms = now_ms
        self._on_full_window = on_full_window
        self._lock = threading.Lock()  # one stream is created at a time
        self._streams: dict[bytes, Stream] = {}
        self._unusable: dict[bytes, str] = {}  # names of streams with a damaged row
        for row in store.streams():
            if not store.is_whole(row):
                what = f"has a damaged row of the stream {row.name}"
                self._unusable[row.stream] = row.name
                damages.report(row.stream, Damage(FILE, None, None, what))
            else:
                self._streams[row.stream] = self._load(row)
        self._report_unknown()

    def _report_unknown(self) -> None:
        """Report folders with data of streams that the database lacks: it is lost, or too old."""
        known = {*self._streams, *self._unusable}
        for folder in unknown_folders(self._folder, {stream.hex() for stream in known}):
            self._damages.report(NO_STREAM, Damage(folder.name, None, None, UNKNOWN))

    @property
    def unusable(self) -> list[str]:
        """Names of streams that cannot be loaded, because their row in the database is damaged."""
        return [str(name) for name in self._unusable.values()]

    def all(self) -> list[Stream]:
        return list(self._streams.values())

    def get(self, stream: bytes) -> Stream:
        """Raises NotFound; StreamDamaged: its row in the database is damaged."""
        if stream in self._unusable:
            raise _row_damaged(self._unusable[stream])
        if (found := self._streams.get(stream)) is None:
            raise errors.NotFound(f"this service has no stream {to_hex(stream)}")
        return found

    def create(self, config: StreamConfig) -> tuple[Stream, bool]:
        """Create a stream, or find the one with this name and these settings.

        Returns:
            The stream, and whether it is new.

        Raises:
            AlreadyMade: the stream with this name has other settings.
            Busy: the service has MAX_STREAMS streams.
            StreamDamaged: the row of the stream with this name is damaged.
            DiskFull, DiskFailed: the stream cannot be stored.
        """
        with self._lock:
            if config.name in self._unusable.values():
                raise _row_damaged(config.name)
            for known in self._streams.values():
                if known.row.name == config.name:
                    _check_same(known.row, config)
                    return known, False
            if len(self._streams) >= MAX_STREAMS:
                raise errors.Busy(f"this service already has {MAX_STREAMS} streams, its limit")
            row = self._row(config)
            self._segments(row).close()  # first: a row without a folder means lost data
            self._store.add_stream(row)
            stream = self._streams[row.stream] = self._load(row)
        logger.info("stream_created", stream=to_hex(row.stream), name=row.name)
        return stream, True

    def stop(self, stream: Stream, reason: str) -> None:
        """Accept no more data for a stream. Its certified windows are not affected."""
        self._store.stop_stream(stream.id, reason)
        stream.row = replace(stream.row, stopped=reason)
        stream.chunker.stop(reason)
        logger.error("stream_stopped", stream=to_hex(stream.id), reason=reason)

    def close(self) -> None:
        for stream in self._streams.values():
            stream.chunker.segments.close()

    def _row(self, config: StreamConfig) -> StreamRow:
        seed = self._entropy(SEED_BYTES)
        keys = self._keys(seed, config.parameters, config.name, config.readings)
        sizes = config.sizes()
        return StreamRow(
            keys.descriptor.id,
            config.name,
            seed,
            config.parameters,
            config.chunk_bytes,
            sizes.sizes[0],
            config.window_ms,
            config.mode,
            config.retention_seconds,
            self._now_ms(),
            readings=encoded(config.readings),
            adaptive=config.window_chunks is None and may_adapt(config.readings),
        )

    def _keys(
        self, seed: bytes, parameters: str, name: str, readings: Readings | None
    ) -> StreamKeys:
        network_id = self._network_id
        return StreamKeys.derive(
            self._service, seed, network_id, parameters, name, readings=readings
        )

    def _load(self, row: StreamRow) -> Stream:
        """Raises KeystoreError: the stream belongs to another key or committee."""
        readings = row.decoded_readings()
        keys = self._keys(row.seed, row.parameters, row.name, readings)
        if keys.descriptor.id != row.stream:
            message = (
                f"the stream {row.name} was created with another key or for another committee; "
                "use the keystore and committee file that belong to this data folder"
            )
            raise errors.KeystoreError(message)
        value_of = readings.committed_value if readings else None
        segments = self._segments(row, value_of, create=False)
        chunker = Chunker(
            row,
            segments,
            self._writer,
            self._now_ms,
            self._on_full_window,
            on_damage=self._damages.report,
            value_of=value_of,
            sizes=WindowSizes.adaptive(readings, row.window_ms) if row.adaptive else None,
        )
        sealer = WindowSealer(keys, chunker)
        self._resume(row, chunker, sealer)
        if row.stopped:
            chunker.stop(row.stopped)
        return Stream(row, keys, chunker, sealer)

    def _segments(
        self, row: StreamRow, value_of: CommittedValue | None = None, *, create: bool = True
    ) -> Segments:
        folder = self._folder / row.stream.hex()
        return Segments(
            *(folder, self._disk),
            create=create,
            value_of=value_of,
            archive=self._archive.of(row.stream) if self._archive else None,
            max_bytes=self._segment_bytes,
        )

    def _resume(self, row: StreamRow, chunker: Chunker, sealer: WindowSealer) -> None:
        """Continue after what is on disk. Damage stops the stream, and no other."""
        try:
            last = self._store.last_window(row.stream)
            self._store.check_states(row.stream)
            closed = self._closed(row.stream, last)
        except errors.ChunkDamaged as error:
            chunker.on_damaged(Damage(FILE, None, None, str(error)))
            return
        found = chunker.segments.recover(closed)
        if last:
            sealer.resume(last)
            header = last.header
            chunker.resume(header.next_first, last.total, header.last_received_ms, found.stored)
        else:
            chunker.resume(0, 0, 0, found.stored)
        if found.damage:
            chunker.on_damaged(found.damage)

    def _closed(self, stream: bytes, last: WindowRow | None) -> Closed:
        """What the database knows of a stream's files. Raises ChunkDamaged."""
        closed = closed_of(last)
        if self._archive is None or last is None:
            return closed
        archive, header = self._archive.of(stream), last.header
        remote = archive.names(header.first, header.next_first - 1)
        return replace(closed, archived=archive.end(), remote=remote)


def closed_of(last: WindowRow | None) -> Closed:
    """What the last closed window says of the files; None if there is none."""
    return Closed(last.number + 1, chunk_lengths(last), last.offset) if last else Closed()


def _row_damaged(name: str) -> errors.StreamDamaged:
    message = f"the row of the stream {name} in {FILE} is damaged; create another stream"
    return errors.StreamDamaged(message, reason="damaged")


def chunk_lengths(row: WindowRow) -> list[ChunkLength]:
    """Sequence and bytes of data of the chunks of a closed window."""
    return list(enumerate(row.lengths(), start=row.header.first))


def encoded(readings: Readings | None) -> str | None:
    """The form in which the database keeps the readings of a descriptor."""
    return canonical(readings.to_json()).decode() if readings else None


def _check_same(row: StreamRow, config: StreamConfig) -> None:
    if row.readings != encoded(config.readings):
        message = (
            f"the stream {row.name} already exists with other readings; use another name or the "
            "same readings"
        )
        raise errors.AlreadyMade(message, member="readings")
    _check_same_windows(row, config)
    for name in _COMPARED:
        if getattr(row, name) != getattr(config, name):
            message = (
                f"the stream {row.name} already exists with {name} {getattr(row, name)}, "
                f"not {getattr(config, name)}; use another name or the same settings"
            )
            raise errors.AlreadyMade(message, member=name)


def _check_same_windows(row: StreamRow, config: StreamConfig) -> None:
    """Check the size of the windows. A request that names none finds a stream with any.

    Earlier releases always fixed a size, so the same request must find these streams, too.
    """
    wanted = config.window_chunks
    if wanted is None or (wanted == row.window_chunks and not row.adaptive):
        return
    found = "adaptive windows" if row.adaptive else f"window_chunks {row.window_chunks}"
    message = (
        f"the stream {row.name} already exists with {found}, not window_chunks {wanted}; use "
        "another name or the same settings"
    )
    raise errors.AlreadyMade(message, member="window_chunks")
