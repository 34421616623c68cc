"""Reads all data of a stream service, and reports what is damaged. Changes nothing.

A start of the service reads only what is in no closed window, and each later read is checked by
itself. So damage to old data is found only when somebody asks for it, or here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DatabaseError

from dragon.encoding import to_hex
from dragon.errors import (
    ChunkDamaged,
    DragonError,
    InvalidEncoding,
    LogDamaged,
    NotFound,
    SettingsError,
)
from dragon.protocol.streams.chunks import decode_chunks, tree_of
from dragon.protocol.streams.readings import Readings
from dragon.protocol.streams.window import WindowHeader, chunks_fault, header_fault
from dragon.protocol.streams.window_readings import readings_chunks_fault, readings_header_fault
from dragon.storage import damage
from dragon.storage.process_lock import ProcessLock
from dragon.storage.schema import is_behind
from dragon.storage.sqlite_faults import sqlite_fault
from dragon_stream.acknowledged import Acknowledged, AcknowledgedFile
from dragon_stream.chunk_readings import ChunkReading, decode
from dragon_stream.damage import NO_STREAM, Damage, Damaged
from dragon_stream.records import HEAD_BYTES, SUFFIX, Head, find_later, is_whole, parse_head
from dragon_stream.recovery import (
    UNKNOWN,
    segment_names,
    segment_path,
    unknown_folders,
)
from dragon_stream.store import FILE, SCHEMA, Store, StreamRow, WindowRow, digests_of

MAX_SQLITE_ERRORS: Final = 16  # messages of SQLite's own check that are reported
_PAGE: Final = 256  # windows read at a time

OnDamage = Callable[[Damage], None]


@dataclass(slots=True)
class StreamReport:
    """What was found of one stream."""

    stream: str  # id (0x…)
    name: str
    segments: int = 0
    chunks: int = 0  # whole ones
    bytes: int = 0  # of data in them
    windows: int = 0  # whole ones
    hides_sizes: bool = False  # whether it has readings, whose sizes nothing tells
    damages: list[Damage] = field(default_factory=list)

    def add(self, damage: Damage) -> None:
        if damage not in self.damages:
            self.damages.append(damage)


@dataclass(slots=True)
class Report:
    """What was found in a data folder."""

    streams: list[StreamReport] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)  # that belong to no stream

    @property
    def is_whole(self) -> bool:
        return not self.damages and not any(stream.damages for stream in self.streams)


class ReadOnlyDatabase:
    """A database that is only read, with the part of `Database` that `Store` needs for that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with damage.guard(self.path), self._engine.connect() as connection:
            yield connection

    def write(self) -> None:
        raise NotImplementedError("this database is only read")

    def close(self) -> None:
        self._engine.dispose()


def check_folder(
    folder: Path,
    on_stream: Callable[[StreamReport], None] = lambda _: None,
    *,
    running: bool = False,
) -> Report:
    """Read everything in the data folder of a stream service.

    Args:
        folder: the folder with `windows.db`, setting `STREAM_DATA`.
        on_stream: called after each stream.
        running: whether the service may be running. Bounds are read before data, which only grows,
            so what it writes meanwhile is no damage.

    Raises:
        NotFound: the folder has no `windows.db`.
        InUse: the service is running, and `running` is not set.
        SettingsError: the database has the schema of an earlier release.
        LogDamaged, DatabaseTooNew: the database cannot be read at all.
    """
    path = folder / FILE
    if not path.is_file():
        raise NotFound(f"{folder} is not the data folder of a stream service: it has no {FILE}")
    with ExitStack() as stack:
        if not running:
            stack.enter_context(closing(ProcessLock.on_folder(folder)))
        database = stack.enter_context(closing(ReadOnlyDatabase(path)))
        try:
            return _check(folder, database, on_stream)
        except DatabaseError as error:
            raise LogDamaged(f"{path} cannot be read: {sqlite_fault(error.orig)}") from None


def _check(
    folder: Path, database: ReadOnlyDatabase, on_stream: Callable[[StreamReport], None]
) -> Report:
    with database.read() as connection:
        if is_behind(SCHEMA, database.path, lambda sql: connection.exec_driver_sql(sql).fetchall()):
            message = f"{database.path} is of an earlier release; start the service once with this"
            raise SettingsError(f"{message} release, and check the folder afterwards")
        messages = connection.exec_driver_sql(f"PRAGMA integrity_check({MAX_SQLITE_ERRORS})").all()
    report = Report()
    for (message,) in messages:
        if message != "ok":
            report.damages.append(Damage(FILE, None, None, f"is damaged: {message}"))
    rows = Store(database).streams()  # type: ignore[arg-type]  # reading needs `read` only
    for row in rows:
        if row.stream == NO_STREAM:
            what = f"has a damaged row of the stream {row.name}"
            report.damages.append(Damage(FILE, None, None, what))
            continue
        stream = StreamReport(to_hex(row.stream), row.name)
        with suppress(ChunkDamaged):
            _check_stream(folder, database, row, stream)
        report.streams.append(stream)
        on_stream(stream)
    known = {row.stream.hex() for row in rows}
    for path in unknown_folders(folder, known):
        report.damages.append(Damage(path.name, None, None, UNKNOWN))
    return report


def _check_stream(
    folder: Path, database: ReadOnlyDatabase, row: StreamRow, report: StreamReport
) -> None:
    store = Store(database, lambda _, damage: report.add(damage))  # type: ignore[arg-type]
    if not store.is_whole(row):
        report.add(Damage(FILE, None, None, "has a damaged row of the stream"))
    readings = _readings_of(row, report)
    report.hides_sizes = row.hides_sizes
    data = folder / row.stream.hex()
    bounds = _bounds(data, report)
    store.check_states(row.stream)
    last = _check_windows(store, row.stream, readings, report)
    next_first = last.next_first if last else 0
    if bounds.windows > (last.number + 1 if last else 0):
        what = f"is older than the segments: {bounds.windows} windows were closed"
        report.add(Damage(FILE, None, next_first, what))
    segments = _SegmentCheck(store, row.stream, readings, data, report)
    segments.run(bounds.kept, max(bounds.chunks, next_first))


def _readings_of(row: StreamRow, report: StreamReport) -> Readings | None:
    """The readings of the stream's descriptor. Raises ChunkDamaged: they are damaged."""
    try:
        return row.decoded_readings()
    except DragonError as error:
        what = f"has invalid readings of the stream: {error}"
        report.add(Damage(FILE, None, None, what))
        raise ChunkDamaged(f"{FILE} {what}") from None


def _bounds(data: Path, report: StreamReport) -> Acknowledged:
    file = AcknowledgedFile(data)
    with suppress(Damaged):
        if (found := file.load()) is not None:
            return found
    try:
        found = file.load()  # again: a running service may have been writing it
    except Damaged as error:
        report.add(error.damage)
        found = None
    return found or Acknowledged(kept=min(segment_names(data), default=0))


def _check_windows(
    store: Store, stream: bytes, readings: Readings | None, report: StreamReport
) -> WindowHeader | None:
    """Check all rows of windows. Returns the last whole header."""
    previous: WindowHeader | None = None
    after, expected = -1, 0
    while page := store.summaries(stream, after, _PAGE):
        for summary in page:
            after = summary.number
            if summary.number != expected:
                report.add(Damage(FILE, None, None, f"lacks window {expected}"))
            expected = summary.number + 1
            follows = previous is not None and previous.number == summary.number - 1
            header = None
            with suppress(ChunkDamaged):
                row = store.window(stream, summary.number)
                header = _checked_header(row, readings, previous if follows else None, report)
            if header is not None:
                previous = header
                report.windows += 1
    return previous


def _checked_header(
    row: WindowRow | None,
    readings: Readings | None,
    previous: WindowHeader | None,
    report: StreamReport,
) -> WindowHeader | None:
    if row is None:
        return None
    header, fault = row.header, ""
    try:
        chunks = decode_chunks(row.chunks)
        fault = chunks_fault(header, chunks) or readings_chunks_fault(readings, header, chunks)
        if tree_of(chunks).root() != header.chunks_root:
            fault = "the chunk headers do not have the root in the header"
    except InvalidEncoding as error:
        fault = str(error)
    if previous is not None or header.number == 0:
        fault = fault or header_fault(header, previous)
        fault = fault or readings_header_fault(readings, header, previous)
        if previous is not None and header.previous != previous.hash:
            fault = fault or "it does not follow the window before it"
    if fault:
        what = f"has a damaged row of window {row.number}: {fault}"
        report.add(Damage(FILE, None, header.first, what))
        return None
    return header


class _SegmentCheck:
    """Reads the segments of one stream, in order."""

    def __init__(
        self,
        store: Store,
        stream: bytes,
        readings: Readings | None,
        folder: Path,
        report: StreamReport,
    ) -> None:
        self._store = store
        self._stream = stream
        self._readings = readings
        self._folder = folder
        self._report = report
        self._expected = 0  # the next chunk
        self._kept: dict[int, _Kept] = {}  # of the chunks of one closed window
        self._unknown_until = 0  # chunks before this one are in a window with a damaged row

    def run(self, kept: int, needed: int) -> None:
        """Check that the chunks from `kept` to `needed` are there."""
        if not self._folder.is_dir():
            self._report.add(Damage(self._folder.name, None, 0, "is missing"))
            return
        self._expected = kept
        names = segment_names(self._folder)
        for name in names:
            path = segment_path(self._folder, name)
            if name > self._expected:
                self._missing(path.name, 0, name)
            elif name < self._expected and name != names[0]:
                what = "begins with a chunk that an earlier segment holds, too"
                self._report.add(Damage(path.name, 0, name, what))
            self._expected = name
            self._report.segments += 1
            try:
                self._check_segment(path, is_newest=name == names[-1], needed=needed)
            except OSError as error:
                if (AcknowledgedFile(self._folder).load() or Acknowledged()).kept > name:
                    continue  # the running service has deleted it after its retention time
                what = f"cannot be read: {error.strerror}"
                self._report.add(Damage(path.name, None, self._expected, what))
        if self._expected < needed:
            newest = segment_path(self._folder, names[-1]).name if names else f"*{SUFFIX}"
            self._missing(newest, None, needed)

    def _missing(self, file: str, offset: int | None, until: int) -> None:
        what = f"chunks {self._expected} to {until - 1} are missing before this place"
        self._report.add(Damage(file, offset, self._expected, what))

    def _check_segment(self, path: Path, *, is_newest: bool, needed: int) -> None:
        raw, at = path.read_bytes(), 0  # about MAX_SEGMENT_BYTES
        while at < len(raw):
            head = parse_head(raw[at : at + HEAD_BYTES])
            if head is not None and head.sequence == self._expected:
                self._check_chunk(path, at, head, raw[at + HEAD_BYTES :][: head.length])
                at += HEAD_BYTES + head.length
                self._expected += 1
                continue
            found = find_later(raw, at, self._expected - 1, of_any_write=True)
            if found is None:
                if not is_newest or self._expected < needed:
                    what = f"is broken from here to its end ({len(raw) - at} bytes)"
                    self._report.add(Damage(path.name, at, self._expected, what))
                return  # else a torn end, which was not acknowledged
            at, later = found
            what = f"chunks {self._expected} to {later.sequence - 1} are broken before here"
            if later.sequence == self._expected:
                what = "has something else before the record of this chunk"
            self._report.add(Damage(path.name, at, self._expected, what))
            self._expected = later.sequence

    def _check_chunk(self, path: Path, at: int, head: Head, data: bytes) -> None:
        if not is_whole(head, data):
            what = "has data that differs from its digest"
        elif fault := self._fault(head, data):
            what = fault
        else:
            self._report.chunks += 1
            self._report.bytes += head.length
            return
        self._report.add(Damage(path.name, at, head.sequence, what))

    def _fault(self, head: Head, data: bytes) -> str:
        """What in a whole record contradicts the database; "" if nothing does."""
        if self._readings is not None and head.length > self._readings.length:
            return f"has more data than {self._readings.length} bytes, the stream's `length`"
        kept = self._find(head.sequence)
        if kept is not None and kept.digest != head.digest:
            return f"has other data than {FILE}: SHA-256 {head.digest.hex()}"
        if kept is None or kept.reading is None or self._readings is None:
            return ""
        if kept.reading != ChunkReading(self._readings.committed_value(data), head.length):
            return f"has another reading than {FILE}"
        return ""

    def _find(self, sequence: int) -> _Kept | None:
        """What the database keeps of a chunk in a closed window; None if it does not know it."""
        if sequence < self._unknown_until:
            return None
        if sequence not in self._kept:
            try:
                row = self._store.window_of(self._stream, sequence)
            except ChunkDamaged:
                row = None
            self._kept = _kept_of(row) if row else {}
            if row is None:
                self._unknown_until = sequence + 1
        return self._kept.get(sequence)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the database keeps of one chunk."""

    digest: bytes
    reading: ChunkReading | None


def _kept_of(row: WindowRow) -> dict[int, _Kept]:
    digests = digests_of(row)
    readings = [None] * len(digests) if row.readings is None else decode(row.readings)
    pairs = zip(digests, readings, strict=True)
    return {row.header.first + at: _Kept(*pair) for at, pair in enumerate(pairs)}
