"""`dragon stream archive`: what is archived, what waits, and an exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dragon.net.stream_client import StreamClient
from dragon_cli.main import main

WHERE = ("--url", "http://127.0.0.1:9", "--token-file")
STREAM = "0x" + "17" * 32
FOUND: Mapping[str, Any] = {
    "archive": "s3://bucket/prefix",
    "local_bytes": 3_500_000,
    "local_limit_bytes": 64_000_000,
    "has_room": True,
    "last_error": None,
    "retry_seconds": 0,
    "streams": [
        {
            "stream": STREAM,
            "name": "sensor",
            "segments": 4,
            "segment_bytes": 33_000_000,
            "bundles": 2,
            "bundle_bytes": 9_100_000,
            "pending_bytes": 250_000,
        }
    ],
}


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the service answers."""
    found = dict(FOUND)

    def get(_client: StreamClient, path: str) -> dict[str, Any]:
        assert path == "/archive"
        return found

    monkeypatch.setattr(StreamClient, "get", get)
    monkeypatch.setattr("dragon_cli.fleet.streams.check_service", lambda *_: None)
    return found


def run(folder: Path, *arguments: str) -> int:
    token = folder / "token"
    token.write_text("the-token-of-the-service\n")
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "stream",
                "archive",
                "--url",
                "http://127.0.0.1:9",
                "--token-file",
                str(token),
                *list(arguments),
            ]
        )
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.usefixtures("answer")
def test_a_line_for_each_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [
        "s3://bucket/prefix: 3.5 of 64.0 MB on the local disk",
        f"sensor {STREAM}: 4 segments (33.0 MB) and 2 bundles of proofs (9.1 MB) archived, "
        "0.2 MB wait",
    ]


def test_a_failing_archive_has_exit_code_1(
    answer: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer |= {
        "last_error": "s3://bucket/prefix does not answer in time",
        "retry_seconds": 8,
        "has_room": False,
    }
    assert run(tmp_path) == 1
    out = capsys.readouterr().out
    assert "failing: s3://bucket/prefix does not answer in time; next attempt in 8 s" in out
    assert "full: sources wait until certified data is archived" in out


@pytest.mark.usefixtures("answer")
def test_the_document_is_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == FOUND


@pytest.mark.parametrize("member", ["streams", "local_bytes", "has_room", "last_error"])
def test_an_unknown_form_is_refused(
    answer: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], member: str
) -> None:
    del answer[member]
    assert run(tmp_path) == 1
    assert "describes its archive in an unknown form" in capsys.readouterr().err
