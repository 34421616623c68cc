"""The programs in examples/ run against a simulated fleet."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from public_interface import STREAM_URL, surroundings
from stream_simulation import StreamWorld

FOLDER = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamWorld]:
    with surroundings(tmp_path_factory.mktemp("examples")) as world:
        yield world


def run(program: str, *arguments: str) -> Any:
    """What `main` returns."""
    return runpy.run_path(str(FOLDER / program))["main"](*arguments)


@pytest.mark.usefixtures("fleet")
def test_a_genuine_entry_is_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify_event.py", "event.json", "fleet/committee.json") == 0

    assert capsys.readouterr().out.startswith("verified: {'kind': 'status'")


@pytest.mark.usefixtures("fleet")
def test_a_forged_entry_and_another_root_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("forged.json").write_text(Path("event.json").read_text().replace('"up"', '"down"'))

    assert run("verify_event.py", "forged.json", "fleet/committee.json") == 1
    assert run("verify_event.py", "event.json", "fleet/committee.json", "0x00") == 1

    forged, other_root = capsys.readouterr().out.splitlines()
    assert forged.startswith("refused: subject_signed")
    assert other_root.startswith("refused: the entry belongs to a log with the root 0x")


def test_nodes_are_watched(fleet: StreamWorld, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.stop("operator_2")
    run("watch_nodes.py", "fleet/committee.json")
    fleet.resume("operator_2")

    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == fleet.operators
    assert lines[0].startswith("operator_1: up; its log: operator_1 up, operator_2 up")
    assert lines[1].startswith("operator_2: down (no answer")


@pytest.mark.usefixtures("fleet")
def test_a_file_is_streamed_and_continued(capsys: pytest.CaptureFixture[str]) -> None:
    log = Path("log.txt")
    log.write_bytes(b"first\n")
    run("stream_file.py", "log.txt", "fleet", STREAM_URL)
    log.write_bytes(b"first\nsecond, longer\n")
    run("stream_file.py", "log.txt", "fleet", STREAM_URL)

    assert "21 bytes in 2 chunks" in capsys.readouterr().out
    receipts = [Path(f"log-{sequence:08d}.json") for sequence in range(2)]
    lengths = [json.loads(receipt.read_text())["chunk"]["length"] for receipt in receipts]
    assert lengths == [6, 15]
