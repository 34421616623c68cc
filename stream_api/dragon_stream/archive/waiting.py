"""What can be moved to the archive now: closed segments, and proofs in groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from dragon.errors import ChunkDamaged
from dragon_stream.archive.index import ArchiveIndex
from dragon_stream.archive.objects import Kind, State
from dragon_stream.archive.packing import Packed, pack_proofs, pack_segment
from dragon_stream.archive.room import Room
from dragon_stream.archive.windows import ProvenWindows
from dragon_stream.store import Store
from dragon_stream.streams import Stream

BUNDLE_SECONDS: Final = 600.0  # age at which proofs are archived, though they are few


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that can be archived."""

    stream: Stream
    kind: Kind
    first: int
    size: int
    pack: Callable[[], Packed | None]

    @property
    def key(self) -> tuple[bytes, Kind, int]:
        return self.stream.id, self.kind, self.first


class WaitingObjects:
    """Finds what can be archived. Only certified data is."""

    def __init__(
        self,
        index: ArchiveIndex,
        windows: Store,
        proven: ProvenWindows,
        *,
        room: Room,
        wall: Callable[[], float],
    ) -> None:
        """
        Args:
            index: the rows of the archive's objects.
            windows: the rows of windows.
            proven: which windows are certified.
            room: says at which size a group of proofs is full.
            wall: returns Unix seconds.
        """
        self._index = index
        self._windows = windows
        self._proven = proven
        self._room = room
        self._wall = wall

    def of(self, streams: Iterable[Stream]) -> Iterator[Waiting]:
        """What can be archived of these, one after the other from each, the oldest first."""
        turns = [self._of_stream(stream) for stream in streams]
        while turns:
            for turn in list(turns):
                try:
                    yield next(turn)
                except (StopIteration, ChunkDamaged):
                    turns.remove(turn)

    def _of_stream(self, stream: Stream) -> Iterator[Waiting]:
        yield from self._segments(stream)
        yield from self._bundles(stream)

    def _segments(self, stream: Stream) -> Iterator[Waiting]:
        """The closed segments whose chunks are all certified, and that are not archived yet."""
        segments = stream.chunker.segments
        if not (closed := segments.closed()):
            return
        certified = self._proven.certified_chunks(stream.id)
        done = self._index.objects(
            stream.id, Kind.SEGMENT, State.STORED, State.EXPIRED, since=closed[0][0]
        )
        stored = {found.first for found in done}
        for first, following, size in closed:
            if following > certified:
                return
            if first not in stored and following > segments.kept:
                pack = partial(
                    pack_segment, self._windows, stream.id, segments.folder, first, following
                )
                yield Waiting(stream, Kind.SEGMENT, first, size, pack)

    def _bundles(self, stream: Stream) -> Iterator[Waiting]:
        """Groups of proofs: those that have begun already, then full ones, then old ones."""
        for found in self._index.objects(stream.id, Kind.PROOFS, State.PENDING):
            yield self._bundle(stream, range(found.first, found.last + 1), found.size)
        group: list[int] = []
        size, began_ms = 0, 0
        for window in self._proven.proven_after(stream.id, self._index.last_window(stream.id)):
            began_ms = began_ms if group else window.closed_ms
            group.append(window.number)
            size += window.size
            if size >= (self._room.object_bytes or 0):
                yield self._bundle(stream, group, size)
                group, size = [], 0
        if group and round(1000 * self._wall()) - began_ms > 1000 * BUNDLE_SECONDS:
            yield self._bundle(stream, group, size)

    def _bundle(self, stream: Stream, numbers: Sequence[int], size: int) -> Waiting:
        pack = partial(pack_proofs, self._windows, stream.id, numbers)
        return Waiting(stream, Kind.PROOFS, numbers[0], size, pack)
