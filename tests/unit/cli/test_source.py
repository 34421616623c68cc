"""`dragon source`: which readings a generated stream has."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path

import pytest

from commands import run_dragon
from dragon.protocol.streams.closing import decide
from dragon.protocol.streams.readings import Readings
from dragon_cli.commands.source import SENSOR_READINGS
from dragon_cli.fleet.layout import Home
from dragon_cli.reading_options import decoded
from dragon_stream import sources
from scripted_streams import DEFAULTS, STREAM, Service, serve

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Service:
    monkeypatch.setattr("dragon_cli.commands.source.interrupt_on_signals", lambda: None)
    monkeypatch.setattr("dragon_cli.commands.source.pace", lambda messages, *_: messages)
    return serve(Service(), Home(tmp_path), monkeypatch)


@pytest.fixture
def run(tmp_path: Path, service: Service, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(kind: str, *options: object, stream: str = "room") -> tuple[int, str, str]:
        fixed = ("--stream", stream, "--count", 5, "--home", tmp_path)
        code, out, err = run_dragon(capsys, "source", kind, *fixed, *options)
        return code, " ".join(out.split()), " ".join(err.split())

    return run


def readings_of(service: Service) -> Readings | None:
    assert service.settings is not None
    value = service.settings.get("readings")
    return Readings.from_json(value) if value else None


def test_the_temperature_of_a_sensor_is_a_reading(run: Run, service: Service) -> None:
    code, out, _ = run("sensor")
    found = readings_of(service)

    assert code == 0
    assert found is not None
    assert [found.rule.reading(message) for message in service.chunks] == [
        round(100 * json.loads(message)["celsius"]) for message in service.chunks
    ]
    assert service.settings is not None
    assert service.settings["window_chunks"] is None
    assert "every committed reading is from -20 to 60 °C" in out


def test_the_claim_about_a_sensor_always_holds() -> None:
    readings = decoded(SENSOR_READINGS)
    messages = list(islice(sources.sensor(7), 20_000))
    values = [readings.committed_value(message) for message in messages]

    assert max(map(len, messages)) <= readings.length
    for first in range(1, len(values), 62):
        closing = decide(readings, values[first : first + 62], values[first - 1])
        assert closing.claim == "readings"
    assert max(abs(b - a) for a, b in pairwise(values)) <= readings.rise


def test_a_sensor_may_have_no_readings(run: Run, service: Service) -> None:
    assert run("sensor", "--no-readings")[0] == 0
    assert readings_of(service) is None
    assert service.settings is not None
    assert (service.settings["mode"], service.settings["window_chunks"]) == ("message", None)


def test_a_stream_of_an_earlier_release_goes_on_without_readings(
    run: Run, service: Service
) -> None:
    """Its source is restarted after an upgrade with the same command."""
    service.settings = DEFAULTS | {"name": "room", "mode": "message", "retention_seconds": 86_400}

    assert run("sensor")[0] == 0
    assert readings_of(service) is None
    assert len(service.chunks) == 5


def test_a_source_that_starts_again_continues_its_readings(run: Run, service: Service) -> None:
    run("sensor", "--most", 9, *("--pointer", "/celsius", "--scale", 1), "--rounding", "half-even",
        "--unit", "°C", "--low", -20, "--high", 60, "--length", 96)  # fmt: skip
    before, service.chunks = service.settings, service.chunks[:2]

    assert run("sensor")[0] == 0
    assert service.settings == before
    assert len(service.chunks) == 5


def test_lines_of_a_file_can_be_readings(run: Run, service: Service, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_text("4.25\n4.5\n")
    options = ("--scale", 2, "--unit", "°C", "--low", 2, "--high", 8)

    assert run("replay", "--file", file, *options)[0] == 0
    found = readings_of(service)
    assert found is not None
    assert [found.rule.reading(message) for message in service.chunks] == [425, 450, 425, 450, 425]


def test_other_sources_have_readings_only_if_asked(run: Run, service: Service) -> None:
    assert run("ticker")[0] == 0
    assert readings_of(service) is None


def test_the_result_for_programs_tells_no_bytes_of_readings(run: Run) -> None:
    assert set(json.loads(run("sensor", "--json")[1])) == {"stream", "messages"}


def test_the_result_for_programs_tells_the_bytes_of_other_streams(run: Run) -> None:
    assert set(json.loads(run("ticker", "--json")[1])) == {"stream", "messages", "bytes"}


@pytest.mark.parametrize(
    ("stream", "options", "said"),
    [
        ("room", ("--no-readings", "--scale", 1, "--unit", "m", "--low", 1, "--high", 2), "Omit"),
        (STREAM, ("--scale", 1, "--unit", "m", "--low", 1, "--high", 2), "fixes its readings"),
        ("room", ("--window-chunks", 63), "`--window-chunks` 63 does not fit"),
    ],
)
def test_options_that_contradict_are_refused(
    run: Run, service: Service, stream: str, options: tuple[object, ...], said: str
) -> None:
    code, _, err = run("sensor", *options, stream=stream)

    assert code == 2
    assert said in err
    assert service.settings is None
