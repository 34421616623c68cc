"""`dragon stream check`: a line for each damaged place, and an exit code."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from dragon.encoding import canonical
from dragon.storage.database import Database
from dragon_cli.main import main
from dragon_cli.reading_words import readings_member
from dragon_stream.records import Chunk
from dragon_stream.segments import Segments
from dragon_stream.store import SCHEMA, Store, StreamRow

STREAM = bytes(range(32))
ROW = StreamRow(STREAM, "sensor", bytes(32), "standard", 9, 3, 1000, "bytes", 60, 0)


READINGS = readings_member({"scale": 1, "unit": "°C", "low": "2", "high": "8"})
READINGS_ROW = replace(ROW, mode="message", readings=canonical(READINGS).decode())


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The data of a service with one stream of two chunks."""
    database = Database(tmp_path / "windows.db", SCHEMA)
    Store(database).add_stream(getattr(request, "param", ROW))
    database.close()
    segments = Segments(tmp_path / STREAM.hex())
    segments.recover()
    for sequence, data in enumerate((b"21.5", b"21.7")):
        segments.append([Chunk(sequence, 1000, hashlib.sha256(data).digest(), data)])
    segments.close()
    return tmp_path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def damage(folder: Path) -> None:
    segment = folder / STREAM.hex() / "0000000000000000.chunks"
    segment.write_bytes(segment.read_bytes().replace(b"21.7", b"21.8"))


def test_a_whole_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stream", "check", folder) == 0
    out = capsys.readouterr().out
    assert "2 chunks with 8 bytes in 1 segments and 0 windows are whole" in out


@pytest.mark.parametrize("folder", [READINGS_ROW], indirect=True)
def test_no_size_of_readings_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The length of a number's text tells how many digits it has."""
    assert run("stream", "check", folder) == 0
    assert "2 chunks in 1 segments and 0 windows are whole" in capsys.readouterr().out
    assert run("stream", "check", folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["streams"][0]["bytes"] is None


def test_damage_is_a_line_and_exit_code_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(folder)
    assert run("stream", "check", folder) == 1
    out = capsys.readouterr().out
    assert "damaged: sensor 0x" in out
    assert "0000000000000000.chunks at byte 60, chunk 1: has data that differs" in out


def test_one_json_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(folder)
    assert run("stream", "check", folder, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "damaged"
    assert found["streams"][0]["chunks"] == 1
    [only] = found["damages"]
    assert (only["stream"], only["offset"], only["chunk"]) == (f"0x{STREAM.hex()}", 60, 1)


def test_a_folder_without_a_database_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("stream", "check", tmp_path) == 1
    assert "not the data folder of a stream service" in capsys.readouterr().err


def test_without_a_command_a_file_is_uploaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stream", "file.bin") == 2
    assert "Missing option '--stream'" in capsys.readouterr().err
