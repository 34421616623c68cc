"""Sources of sample data: reproducible messages, sent at the requested rate."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from dragon.errors import SettingsError
from dragon_cli import services
from dragon_cli.commands.source import pace
from dragon_stream.sources import replay, sensor, ticker


@pytest.mark.parametrize("make", [sensor, ticker])
def test_the_same_seed_gives_the_same_messages(make: object) -> None:
    first, again, other = ([*islice(make(seed), 200)] for seed in (1, 1, 2))  # type: ignore[operator]

    assert first == again
    assert first != other
    assert len(set(first)) == 200  # each message contains its number


def test_the_values_of_a_sensor_are_in_range() -> None:
    for number, raw in enumerate(islice(sensor(0), 5000)):
        reading = json.loads(raw)
        assert reading["reading"] == number
        assert -20 <= reading["celsius"] <= 60
        assert 0 <= reading["humidity"] <= 100


def test_the_values_of_a_ticker_are_in_range() -> None:
    for number, raw in enumerate(islice(ticker(0), 5000)):
        tick = json.loads(raw)
        assert tick["tick"] == number
        assert float(tick["price"]) > 0
        assert 1 <= tick["size"] < 500


def test_a_recording_is_repeated(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"one\ntwo\n")

    assert [*islice(replay(0, file), 5)] == [b"one", b"two", b"one", b"two", b"one"]


@pytest.mark.parametrize("raw", [b"", b"x" * 65_537], ids=["empty", "long"])
def test_a_recording_without_usable_lines_is_refused(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "lines"
    file.write_bytes(raw)

    with pytest.raises(SettingsError, match="no lines, or a line of more than"):
        next(replay(0, file))


def test_sources_are_found_by_name() -> None:
    assert next(services.source("ticker")(3, None)) == next(ticker(3))


def test_messages_are_sent_at_their_rate() -> None:
    now, slept = [100.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        now[0] += seconds

    paced = pace(iter([b"a", b"b", b"c", b"d"]), 4.0, lambda: now[0], sleep)
    assert [next(paced), next(paced)] == [b"a", b"b"]
    assert slept == [0.25]

    now[0] += 60  # after a delay, missed messages are not sent faster
    assert [next(paced), next(paced)] == [b"c", b"d"]
    assert slept[1:] == [0.25]
