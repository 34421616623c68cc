"""Reads all data of a stream service, and reports what is damaged. Changes nothing.

A start of the service reads only what is in no closed window, and each later read is checked by
itself. So damage to old data is found only when somebody asks for it, or here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, create_engine

from dragon.encoding import to_hex
from dragon.errors import (
    ChunkDamaged,
    DragonError,
    InvalidEncoding,
    NotFound,
    SettingsError,
)
from dragon.protocol.streams.chunks import decode_chunks, tree_of
from dragon.protocol.streams.readings import Readings
from dragon.protocol.streams.window import WindowHeader, chunks_fault, header_fault
from dragon.protocol.streams.window_readings import readings_chunks_fault, readings_header_fault
from dragon.storage import damage
from dragon.storage.database import Database
from dragon.storage.process_lock import ProcessLock
from dragon.storage.read_only import read_only_url
from dragon.storage.schema import is_behind
from dragon_stream.acknowledged import Acknowledged, AcknowledgedFile
from dragon_stream.archive.checking import ArchivedData
from dragon_stream.archive.objects import ObjectStore
from dragon_stream.damage import NO_STREAM, Damage, Damaged
from dragon_stream.recovery import UNKNOWN, segment_names, unknown_folders
from dragon_stream.scrub_report import Report, StreamReport
from dragon_stream.segment_check import SegmentCheck
from dragon_stream.store import SCHEMA, Store, StreamRow, WindowRow
from dragon_stream.stream_tables import FILE

MAX_SQLITE_ERRORS: Final = 16  # messages of SQLite's own check that are reported
_PAGE: Final = 256  # windows read at a time


class ReadOnlyDatabase:
    """A database that is only read, with the part of `Database` that `Store` needs for that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = create_engine(read_only_url(path))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with damage.guard(self.path), self._engine.connect() as connection:
            yield connection

    def query(self, sql: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        with damage.guard(self.path), closing(self._engine.raw_connection()) as connection:
            cursor = connection.cursor()
            cursor.execute(sql, values)
            return list(cursor.fetchall())

    def write(self) -> None:
        raise NotImplementedError("this database is only read")

    def close(self) -> None:
        self._engine.dispose()


def check_folder(
    folder: Path,
    on_stream: Callable[[StreamReport], None] = lambda _: None,
    *,
    running: bool = False,
    store: ObjectStore | None = None,
) -> Report:
    """Read everything in the data folder of a stream service.

    Args:
        folder: the folder with `windows.db`, setting `STREAM_DATA`.
        on_stream: called after each stream.
        running: whether the service may be running. Bounds are read before data, which only grows,
            so what it writes meanwhile is no damage.
        store: the archive of the service; None: archived objects are counted, and not read.

    Raises:
        NotFound: the folder has no `windows.db`.
        InUse: the service is running, and `running` is not set.
        SettingsError: the database has the schema of an earlier release.
        LogDamaged, DatabaseTooNew: the database cannot be read at all.
        ArchiveUnavailable: the archive cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        raise NotFound(f"{folder} is not the data folder of a stream service: it has no {FILE}")
    with ExitStack() as stack:
        if not running:
            stack.enter_context(closing(ProcessLock.on_folder(folder)))
        database = stack.enter_context(closing(ReadOnlyDatabase(path)))
        with damage.unreadable(f"{path} cannot be read"):
            return _check(folder, database, on_stream, store)


def _check(
    folder: Path,
    database: ReadOnlyDatabase,
    on_stream: Callable[[StreamReport], None],
    store: ObjectStore | None,
) -> Report:
    with database.read() as connection:
        if is_behind(SCHEMA, database.path, lambda sql: connection.exec_driver_sql(sql).fetchall()):
            message = f"{database.path} is of an earlier release; start the service once with this"
            raise SettingsError(f"{message} release, and check the folder afterwards")
        query = "SELECT 1 FROM sqlite_master WHERE name = 'own_archived'"
        has_archive = connection.exec_driver_sql(query).first() is not None
        messages = connection.exec_driver_sql(f"PRAGMA integrity_check({MAX_SQLITE_ERRORS})").all()
    report = Report()
    for (message,) in messages:
        if message != "ok":
            report.damages.append(Damage(FILE, None, None, f"is damaged: {message}"))
    rows = Store(database).streams()  # type: ignore[arg-type]  # it only reads
    for row in rows:
        if row.stream == NO_STREAM:
            what = f"has a damaged row of the stream {row.name}"
            report.damages.append(Damage(FILE, None, None, what))
            continue
        stream = StreamReport(to_hex(row.stream), row.name)
        with suppress(ChunkDamaged):
            archived = ArchivedData(store=store)
            if has_archive:
                reader: Database = database  # type: ignore[assignment]  # it needs `read` only
                archived = ArchivedData.of(reader, row.stream, stream, store)
            _check_stream(folder, database, row, stream, archived)
        report.streams.append(stream)
        on_stream(stream)
    known = {row.stream.hex() for row in rows}
    for path in unknown_folders(folder, known):
        report.damages.append(Damage(path.name, None, None, UNKNOWN))
    return report


def _check_stream(
    folder: Path,
    database: ReadOnlyDatabase,
    row: StreamRow,
    report: StreamReport,
    archived: ArchivedData,
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
    segments = SegmentCheck(store, row.stream, readings, data, report, archived=archived)
    segments.run(bounds.kept, max(bounds.chunks, next_first))
    archived.check_bundles(report)


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
