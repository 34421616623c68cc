"""The demonstration's cold chain: its data, and its search for readings on the nodes' disks."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dragon.errors import StepFailed
from dragon.protocol.streams.closing import decide
from dragon.protocol.streams.reading_text import decimal_text
from dragon_cli.demo.reading_steps import (
    CLAIM,
    DAYS,
    HOURS,
    SCALE,
    UNCLAIMED,
    ReadingSteps,
    temperatures,
)
from dragon_cli.fleet.layout import STREAMS, Home
from dragon_cli.reading_options import decoded

READINGS = decoded(
    {name[2:]: value for name, value in zip(CLAIM[::2], CLAIM[1::2], strict=True)}
    | {"most": HOURS + 1}
)


def test_exactly_one_day_carries_no_claim() -> None:
    values = temperatures()
    found = []
    for day in range(DAYS):
        first = day * HOURS
        carried = values[first - 1] if day else None
        found.append(str(decide(READINGS, values[first : first + HOURS], carried).claim))

    assert found == ["none" if day == UNCLAIMED else "readings" for day in range(DAYS)]


def test_one_reading_is_the_reason() -> None:
    values = temperatures()
    outside = [value for value in values if not READINGS.low <= value <= READINGS.high]
    inside = [value for value in values if READINGS.low <= value <= READINGS.high]

    assert len(outside) == 1
    assert all(-READINGS.fall <= b - a <= READINGS.rise for a, b in pairwise(inside))


# The search


@pytest.fixture
def fleet(tmp_path: Path) -> Any:
    """The disks of an operator and of the stream service, which has all readings."""
    home = Home(tmp_path)
    for service in ("operator_1", STREAMS):
        home.database(service).parent.mkdir(parents=True)
        home.database(service).write_bytes(bytes(range(256)) * 40)
    home.output("operator_1").parent.mkdir()
    home.output("operator_1").write_text("started\n")
    texts = [decimal_text(reading, SCALE) for reading in temperatures()]
    segment = home.database(STREAMS).parent / "streams" / "1.seg"
    segment.parent.mkdir()
    segment.write_text(" ".join(texts))
    return SimpleNamespace(home=home, addresses=["operator_1", STREAMS, "zkp"])


def test_disks_without_readings_pass(fleet: Any) -> None:
    size = 256 * 40 + len("started\n")

    assert f"the {size:,} bytes" in ReadingSteps(fleet).search()


def leaks() -> dict[str, bytes]:
    reading = temperatures()[50]
    return {
        "text": b"v=" + decimal_text(reading, SCALE).encode(),
        "integer": reading.to_bytes(8, "big"),
        "little-endian": reading.to_bytes(8, "little"),
        "in an opening": (reading + (1 << 59)).to_bytes(8, "big"),
        "hexadecimal": b'"0x' + (reading + (1 << 59)).to_bytes(8, "big").hex().encode(),
    }


@pytest.mark.parametrize("form", leaks())
@pytest.mark.parametrize("place", ["operator.db-wal", "objects/1", "output"])
def test_one_reading_on_a_disk_is_found(fleet: Any, form: str, place: str) -> None:
    home = fleet.home
    is_output = place == "output"
    file = home.output("operator_1") if is_output else home.database("operator_1").parent / place
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(bytes(100) + leaks()[form] + bytes(100))

    with pytest.raises(StepFailed, match="operator_1 has a reading"):
        ReadingSteps(fleet).search()


def test_a_search_that_finds_nothing_anywhere_fails(fleet: Any) -> None:
    """It would not have looked for what was sent."""
    (fleet.home.database(STREAMS).parent / "streams" / "1.seg").write_text("4.25")

    with pytest.raises(StepFailed, match="lacks 72 of its own readings"):
        ReadingSteps(fleet).search()
