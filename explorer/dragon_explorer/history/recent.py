"""The sums of the current hour: in memory by series, and on disk in one row for each flush."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from dragon_explorer.history.spans import MINUTE, Block, Sums

MAX_UNPACKED_BYTES: Final = 16 << 20  # of one row
SETTLED_AFTER_SECONDS: Final = 120  # a block gets no more sums that long after its end
MAX_UNWRITTEN_SECONDS: Final = 6 * 3600  # age of blocks that wait for a disk that fails


class Key(NamedTuple):
    """One series of sums."""

    kind: str
    subject: str
    source: str


SumsByMinute: TypeAlias = Mapping[tuple[Key, int], Sums]


class RecentBlocks:
    """Blocks of minutes that are not written as such yet. Use it under a lock."""

    def __init__(self) -> None:
        self._blocks: dict[Key, dict[int, Block]] = defaultdict(dict)

    def add(self, key: Key, minute: int, sums: Sums) -> None:
        """Add sums to a minute (Unix seconds)."""
        blocks, begin = self._blocks[key], MINUTE.block_of(minute)
        if begin not in blocks:
            blocks[begin] = Block(MINUTE, begin)
        blocks[begin].add(minute, sums)

    def series(self) -> set[Key]:
        """The series that have a block."""
        return set(self._blocks)

    def blocks(self, kind: str, subject: str | None = None) -> Iterator[tuple[Key, Block]]:
        """Yield the blocks of one kind, and of one subject if it is given."""
        for key, blocks in self._blocks.items():
            if key.kind == kind and subject in {None, key.subject}:
                for block in blocks.values():
                    yield key, block

    def has_settled(self, now: int) -> bool:
        """Whether the hour of any block is over."""
        last = _last_settled(now)
        return any(begin <= last for blocks in self._blocks.values() for begin in blocks)

    def take_settled(self, now: int) -> list[tuple[Key, Block]]:
        """Remove and return the blocks whose hour is over."""
        last = _last_settled(now)
        taken: list[tuple[Key, Block]] = []
        for key, blocks in list(self._blocks.items()):
            taken += [(key, blocks.pop(begin)) for begin in list(blocks) if begin <= last]
            if not blocks:
                del self._blocks[key]
        return taken

    def put_back(self, taken: Iterable[tuple[Key, Block]], now: int) -> None:
        """Keep blocks that could not be written, if they are not too old."""
        for key, block in taken:
            if block.begin >= now - MAX_UNWRITTEN_SECONDS:
                for minute, sums in block.sums():
                    self.add(key, minute, sums)

    def sums(self) -> dict[tuple[Key, int], Sums]:
        """Return everything by series and minute."""
        return {
            (key, minute): sums
            for key, blocks in self._blocks.items()
            for block in blocks.values()
            for minute, sums in block.sums()
        }


def _last_settled(now: int) -> int:
    """The begin of the newest block whose hour is over."""
    return now - MINUTE.block_seconds - SETTLED_AFTER_SECONDS


def pack(sums: SumsByMinute) -> bytes:
    """Encode sums as one row."""
    rows = [[*key, minute, *each] for (key, minute), each in sums.items()]
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)


def unpack(row: object) -> dict[tuple[Key, int], Sums]:
    """Decode a row. A damaged one counts as empty: nothing else depends on its sums."""
    try:
        return dict(_decoded(row))
    except (TypeError, ValueError, zlib.error):
        return {}


def _decoded(row: object) -> Iterator[tuple[tuple[Key, int], Sums]]:
    if not isinstance(row, bytes):
        raise TypeError("a row of bytes is expected")
    text = zlib.decompressobj().decompress(row, MAX_UNPACKED_BYTES)
    for kind, subject, source, minute, *numbers in json.loads(text):
        words, values = (kind, subject, source), (minute, *numbers)
        if not all(isinstance(each, str) for each in words):
            raise TypeError("three words are expected")
        if not all(isinstance(each, int) and each >= 0 for each in values):
            raise TypeError("numbers are expected")
        yield (Key(*words), minute), Sums._make(numbers)
