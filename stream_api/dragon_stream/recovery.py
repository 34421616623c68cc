"""What a stream's folder holds at a start: whole, with a torn end, or damaged.

A crash tears the end only: the records of the last write, which were not acknowledged. Everything
else is damage: a broken record that was acknowledged, a segment that is missing or ends early, or
files that are older than the others. Damage is never repaired here, and nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from dragon_stream.acknowledged import Acknowledged
from dragon_stream.chunk_readings import CommittedValue
from dragon_stream.damage import Damage, Damaged
from dragon_stream.records import (
    HEAD_BYTES,
    SUFFIX,
    Head,
    StoredChunk,
    find_later,
    is_whole,
    parse_head,
)

UNKNOWN: Final = "holds segments of a stream that windows.db does not know"

ChunkLength: TypeAlias = tuple[int, int]  # sequence and length in bytes of a chunk


@dataclass(frozen=True, slots=True)
class Closed:
    """What the database knows of a stream."""

    windows: int = 0  # closed windows
    chunks: Sequence[ChunkLength] = ()  # of the last of them
    offset: int = 0  # of the first of these chunks in its segment
    archived: int = 0  # chunks before this one may be in the archive only
    remote: Collection[int] = ()  # segments with these chunks that are in the archive

    @property
    def next(self) -> int:
        """The first chunk that is in no closed window."""
        return self.chunks[-1][0] + 1 if self.chunks else 0


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found after the last closed window."""

    stored: list[StoredChunk]
    size: int  # bytes of the newest segment up to its last whole record
    damage: Damage | None = None


def segment_names(folder: Path) -> list[int]:
    """The first chunks of a folder's segments, in order."""
    stems = (path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}"))
    return sorted(int(stem) for stem in stems if stem.isdigit())


def unknown_folders(folder: Path, known: Collection[str]) -> list[Path]:
    """The folders with segments whose names are not among the known ones."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() and path.name not in known and segment_names(path)
    ]


def segment_path(folder: Path, first: int) -> Path:
    """The file of the segment that begins with chunk `first`."""
    return folder / f"{first:016d}{SUFFIX}"


def end_of(chunks: Sequence[ChunkLength], offset: int, names: set[int]) -> int:
    """The offset, in its segment, of the record after these chunks."""
    for sequence, length in chunks:
        offset = (0 if sequence in names else offset) + HEAD_BYTES + length
    return offset


def read_record(file: BinaryIO, offset: int) -> tuple[Head, bytes] | None:
    """The record at an offset, or None if it is not whole."""
    file.seek(offset)
    head = parse_head(file.read(HEAD_BYTES))
    if head is None:
        return None
    data = file.read(head.length)
    return (head, data) if is_whole(head, data) else None


def records(
    file: BinaryIO, start: int, expected: int, value_of: CommittedValue | None = None
) -> Iterator[StoredChunk]:
    """Whole records from an offset on, up to the first that is broken or out of order.

    `value_of`: in a stream with readings, the number to commit to for a message.
    """
    while (found := read_record(file, start)) is not None and found[0].sequence == expected:
        head, data = found
        stored = head.stored(start, value_of(data) if value_of else None)
        yield stored
        start, expected = stored.end, expected + 1


class Recovery:
    """One look at a stream's folder."""

    def __init__(
        self,
        folder: Path,
        closed: Closed,
        acknowledged: Callable[[], Acknowledged | None],
        value_of: CommittedValue | None = None,
    ) -> None:
        """
        Args:
            folder: the stream's folder.
            closed: what the database knows of the stream.
            acknowledged: reads the bounds of what must be there; it raises Damaged.
            value_of: see `records`.
        """
        self._value_of = value_of
        self._folder = folder
        self._closed = closed
        self._load = acknowledged
        self._names = segment_names(folder)
        self._found: list[StoredChunk] = []
        self._size = 0

    def run(self) -> Recovered:
        """Find the chunks after the last closed window. Changes no file."""
        damage = None
        try:
            if not self._folder.is_dir():
                raise Damaged(self._folder.name, None, self._closed.next, "is missing")
            needed = self._needed(self._load())
            self._check_begin(needed)
            self._scan(needed)
        except Damaged as error:
            damage = error.damage
        except OSError as error:
            name = Path(error.filename or self._folder).name
            damage = Damage(name, None, None, f"cannot be read: {error.strerror}")
        return Recovered(self._found, self._size, damage)

    @property
    def _expected(self) -> int:
        return self._closed.next + len(self._found)

    def _needed(self, bounds: Acknowledged | None) -> int:
        """The number of chunks that must be on disk. Raises Damaged: files of different ages."""
        bounds = bounds or Acknowledged()
        if bounds.windows > self._closed.windows:
            raise Damaged(
                "windows.db",
                None,
                self._closed.next,
                f"is older than the segments: it has {self._closed.windows} windows of the stream, "
                f"and {bounds.windows} were closed",
            )
        begin = self._names[0] if self._names else bounds.chunks
        kept = max(bounds.kept, self._closed.archived)
        if begin > kept and bounds.chunks:
            raise self._missing(kept)
        return max(self._closed.next, bounds.chunks)

    def _missing(self, first: int) -> Damaged:
        return Damaged(segment_path(self._folder, first).name, None, first, "is missing")

    def _check_begin(self, needed: int) -> None:
        """Check that the last closed window's last chunk is where the database says."""
        first = self._closed.next
        if not self._names or self._names[0] > first:
            if needed:
                raise self._missing(first)
            return
        if not self._closed.chunks:
            return
        sequence, length = self._closed.chunks[-1]
        names = {*self._names, *self._closed.remote}
        end = end_of(self._closed.chunks, self._closed.offset, names)
        name = max((name for name in names if name <= sequence), default=None)
        if name is None or name not in self._names:
            return  # deleted after its retention time, or in the archive only
        path = segment_path(self._folder, name)
        size, offset = path.stat().st_size, end - HEAD_BYTES - length
        if size < end:
            what = f"ends at byte {size}, before byte {end}, where windows.db has its chunk end"
            raise Damaged(path.name, size, sequence, what)
        with path.open("rb") as file:
            found = read_record(file, offset)
        if found is None or found[0].sequence != sequence:
            raise Damaged(path.name, offset, sequence, "has another record than windows.db")

    def _scan(self, needed: int) -> None:
        first = self._closed.next
        before = [name for name in self._names if name <= first][-1:]
        for name in before + [name for name in self._names if name > first]:
            if name > self._expected:
                raise self._missing(self._expected)
            if first < name < self._expected:
                what = "begins with a chunk that an earlier segment holds, too"
                raise Damaged(segment_path(self._folder, name).name, 0, name, what)
            self._scan_segment(name, needed)
        if self._expected < needed:
            newest = segment_path(self._folder, self._names[-1]).name if self._names else SUFFIX
            what = f"ends early: the stream has acknowledged {needed} chunks"
            raise Damaged(newest, self._size, self._expected, what)

    def _scan_segment(self, name: int, needed: int) -> None:
        path, start = segment_path(self._folder, name), 0
        if name < self._closed.next:
            start = end_of(self._closed.chunks, self._closed.offset, set(self._names))
        with path.open("rb") as file:
            self._size = start
            for stored in records(file, start, self._expected, self._value_of):
                self._found.append(stored)
                self._size = stored.end
            file.seek(self._size)
            rest = file.read()
        if rest:
            self._check_torn(path, name, rest, needed)

    def _check_torn(self, path: Path, name: int, rest: bytes, needed: int) -> None:
        """Check that a broken record was not acknowledged. Raises Damaged."""
        at, sequence = self._size, self._expected
        if sequence < needed:
            raise Damaged(path.name, at, sequence, "has a broken record that was acknowledged")
        if name != self._names[-1]:
            raise Damaged(path.name, at, sequence, "has a broken record before a later segment")
        if later := find_later(rest, 0, sequence):
            what = f"has a broken record before whole ones, from chunk {later[1].sequence} on"
            raise Damaged(path.name, at, sequence, what)
