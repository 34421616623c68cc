"""Marks as records of fixed length, for the file of a log."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

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


def from_bytes(content: bytes) -> tuple[Mark, ...]:
    """Decode marks. Raises ValueError: the content is no sequence of records."""
    if len(content) % _RECORD.size:
        raise ValueError("marks have another length")
    found = []
    rounds = Rounds(0, 1)
    for (
        size,
        timestamp,
        position,
        genesis,
        seconds,
        root,
        is_handover,
        following,
    ) in _RECORD.iter_unpack(content):
        if (genesis, seconds) != (rounds.genesis, rounds.seconds):
            rounds = Rounds(genesis, seconds)
        found.append(
            Mark(size, root, timestamp, position, rounds, following if is_handover else None)
        )
    return tuple(found)
