"""Reads the segments of one stream for the scrub, and compares them with the database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dragon.errors import ChunkDamaged
from dragon.protocol.streams.readings import Readings
from dragon_stream.acknowledged import Acknowledged, AcknowledgedFile
from dragon_stream.archive.checking import ArchivedData
from dragon_stream.archive.objects import ArchivedObject
from dragon_stream.chunk_readings import ChunkReading, decode
from dragon_stream.damage import Damage, Damaged
from dragon_stream.records import HEAD_BYTES, SUFFIX, Head, find_later, is_whole, parse_head
from dragon_stream.recovery import segment_names, segment_path
from dragon_stream.scrub_report import StreamReport
from dragon_stream.store import Store, WindowRow, digests_of
from dragon_stream.stream_tables import FILE


class SegmentCheck:
    """Reads the segments of one stream, in order."""

    def __init__(
        self,
        store: Store,
        stream: bytes,
        readings: Readings | None,
        folder: Path,
        report: StreamReport,
        *,
        archived: ArchivedData | None = None,
    ) -> None:
        self._archived = archived or ArchivedData()
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
        local = segment_names(self._folder)
        names = sorted({*local, *self._archived.segments})
        for name in names:
            path = segment_path(self._folder, name)
            if name > self._expected:
                self._missing(path.name, 0, name)
            elif name < self._expected and name != names[0]:
                what = "begins with a chunk that an earlier segment holds, too"
                self._report.add(Damage(path.name, 0, name, what))
            self._expected = name
            if name not in local:
                self._check_archived(self._archived.segments[name])
                continue
            self._report.segments += 1
            try:
                raw = path.read_bytes()  # about MAX_SEGMENT_BYTES
                self._check_segment(path.name, raw, is_newest=name == names[-1], needed=needed)
            except OSError as error:
                if (AcknowledgedFile(self._folder).load() or Acknowledged()).kept > name:
                    continue  # the running service has deleted it after its retention time
                what = f"cannot be read: {error.strerror}"
                self._report.add(Damage(path.name, None, self._expected, what))
        if self._expected < needed:
            newest = segment_path(self._folder, names[-1]).name if names else f"*{SUFFIX}"
            self._missing(newest, None, needed)

    def _check_archived(self, found: ArchivedObject) -> None:
        """Check a segment that only the archive has. Raises ArchiveUnavailable."""
        if self._archived.store is None:
            self._report.unread += 1
        else:
            self._report.segments += 1
            try:
                raw = self._archived.read(found)
                self._check_segment(found.short_name, raw, is_newest=False, needed=0)
            except Damaged as error:
                self._report.add(error.damage)
        self._expected = found.last + 1

    def _missing(self, file: str, offset: int | None, until: int) -> None:
        what = f"chunks {self._expected} to {until - 1} are missing before this place"
        self._report.add(Damage(file, offset, self._expected, what))

    def _check_segment(self, file: str, raw: bytes, *, is_newest: bool, needed: int) -> None:
        at = 0
        while at < len(raw):
            head = parse_head(raw[at : at + HEAD_BYTES])
            if head is not None and head.sequence == self._expected:
                self._check_chunk(file, at, head, raw[at + HEAD_BYTES :][: head.length])
                at += HEAD_BYTES + head.length
                self._expected += 1
                continue
            found = find_later(raw, at, self._expected - 1, of_any_write=True)
            if found is None:
                if not is_newest or self._expected < needed:
                    what = f"is broken from here to its end ({len(raw) - at} bytes)"
                    self._report.add(Damage(file, at, self._expected, what))
                return  # else a torn end, which was not acknowledged
            at, later = found
            what = f"chunks {self._expected} to {later.sequence - 1} are broken before here"
            if later.sequence == self._expected:
                what = "has something else before the record of this chunk"
            self._report.add(Damage(file, at, self._expected, what))
            self._expected = later.sequence

    def _check_chunk(self, file: str, at: int, head: Head, data: bytes) -> None:
        if not is_whole(head, data):
            what = "has data that differs from its digest"
        elif fault := self._fault(head, data):
            what = fault
        else:
            self._report.chunks += 1
            self._report.bytes += head.length
            return
        self._report.add(Damage(file, at, head.sequence, what))

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
