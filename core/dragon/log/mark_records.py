"""Marks as records of fixed length, for the file of a log."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, overload

from dragon.protocol.marks import Mark
from dragon.protocol.rounds import Rounds

# Size, timestamp, position, genesis and length of rounds, root, whether it is a handover, its next.
_RECORD: Final = struct.Struct("<QQQQI32s?32s")
_NO_NEXT: Final = bytes(32)


def to_bytes(marks: Iterable[Mark]) -> bytes:
    """Encode marks."""
    return b"".join(
        _RECORD.pack(
            *(each.size, each.timestamp, each.position, each.rounds.genesis, each.rounds.seconds),
            each.log_root,
            each.next is not None,
            each.next or _NO_NEXT,
        )
        for each in marks
    )


class PackedMarks(Sequence[Mark]):
    """Encoded marks, each decoded when it is needed: a search looks at few of many."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        """Raises ValueError: the content is no sequence of records."""
        if len(content) % _RECORD.size:
            raise ValueError("marks have another length")
        self._content = content

    def __len__(self) -> int:
        return len(self._content) // _RECORD.size

    @overload
    def __getitem__(self, at: int) -> Mark: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Mark]: ...
    def __getitem__(self, at: int | slice) -> Mark | Sequence[Mark]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        record = _RECORD.unpack_from(self._content, at % len(self) * _RECORD.size)
        size, timestamp, position, genesis, seconds, root, is_handover, following = record
        rounds = Rounds(genesis, seconds)
        return Mark(size, root, timestamp, position, rounds, following if is_handover else None)


def from_bytes(content: bytes) -> tuple[Mark, ...]:
    """Decode marks. Raises ValueError: the content is no sequence of records."""
    return tuple(PackedMarks(content))
