"""What a spot check says in words."""

from __future__ import annotations

import pytest

from committees import make_members
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.spot_check import SpotCheckRequest
from dragon.protocol.streams.spot_check_verification import CheckedChunk, SpotCheck
from dragon_cli.render.spot_checks import statement, verdict
from streams import make_owner
from timed_readings import make_reading_owner

MEMBERS = make_members(4, targets=1)
READINGS, PLAIN = make_reading_owner(MEMBERS).descriptor, make_owner(MEMBERS).descriptor


@pytest.mark.parametrize(
    ("descriptor", "said"),
    [(READINGS, "finds one false number with"), (PLAIN, "finds one chunk with other data with")],
)
def test_only_a_stream_with_readings_has_false_numbers(descriptor: Descriptor, said: str) -> None:
    request = SpotCheckRequest(descriptor.id, 0, 1, 2, 100, bytes(32))
    checkpoint = CheckpointClaim(9, bytes(32), 120)
    chunks = (CheckedChunk(0), CheckedChunk(3))
    check = SpotCheck(request, descriptor, checkpoint, 10, chunks)

    assert f"{said} a probability of 20.0%" in " ".join(statement(check))


def test_chunks_without_a_number_are_counted() -> None:
    request = SpotCheckRequest(READINGS.id, 0, 1, 2, 100, bytes(32))
    chunks = (CheckedChunk(0, reading=5100), CheckedChunk(3))
    check = SpotCheck(request, READINGS, CheckpointClaim(9, bytes(32), 120), 10, chunks)

    assert verdict(check).endswith(
        "all 2 committed readings were equal to the numbers in the data; 1 of them without a "
        "number, committed to as such."
    )
