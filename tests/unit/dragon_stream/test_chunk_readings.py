"""What is kept of each chunk of a closed window in a stream with readings."""

from __future__ import annotations

import pytest

from dragon.stark.commitment import NO_READING, READING_OFFSET
from dragon_stream.chunk_readings import ENTRY_BYTES, ChunkReading, decode, encode

KEPT = [
    ChunkReading(NO_READING, 0),
    ChunkReading(-1, 5),
    ChunkReading(0, 1),
    ChunkReading(READING_OFFSET - 1, 65_536),
]


def test_readings_are_decoded_as_they_were_encoded() -> None:
    assert decode(encode(KEPT)) == KEPT
    assert len(encode(KEPT)) == len(KEPT) * ENTRY_BYTES


def test_a_number_is_stored_as_in_an_opening() -> None:
    assert encode([ChunkReading(-1, 5)]).hex() == "07ffffffffffffff00000005"
    assert encode([ChunkReading(NO_READING, 0)]).hex() == "00" * 12


@pytest.mark.parametrize("size", [1, 11, 13])
def test_an_incomplete_entry_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes are no list of readings"):
        decode(bytes(size))
