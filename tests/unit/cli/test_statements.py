"""What windows say about readings, where windows are listed; and that no size is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragon_cli.fleet import streams
from dragon_cli.main import main
from dragon_cli.render import output
from scripted_streams import Service

Run = Callable[..., str]


def window(number: int, statement: str | None) -> dict[str, Any]:
    return {
        "number": number, "state": "certified", "statement": statement, "first": 2 * number,
        "count": 2, "closed_ms": 1_764_000_000_000, "position": 9, "proof_bytes": 80_000,
        "security_bits": 100, "votes": [], "event": None,
    }  # fmt: skip


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service(settings={"name": "cold", "mode": "message", "readings": {}})
    made.windows = [window(0, "readings"), window(1, "blocks"), window(2, "readings")]
    monkeypatch.setattr(streams, "HttpClient", lambda _session: made)
    return made


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(output.rich_console(), "_width", 100)

    def run(*words: object) -> str:
        home = ("--home", tmp_path, "--url", "http://127.0.0.1:5300")
        with pytest.raises(SystemExit) as done:
            main([str(each) for each in (*words, *home)])
        out, err = capsys.readouterr()
        assert (done.value.code or 0, err) == (0, "")
        return out

    monkeypatch.setattr(streams, "check_service", lambda *_: None)
    return run


def test_windows_show_their_statement(service: Service, run: Run) -> None:
    header, *rows = [line.split() for line in run("windows", "cold").splitlines()]

    assert header[:4] == ["window", "state", "statement", "chunks"]
    assert [row[2] for row in rows[:3]] == ["readings", "no", "readings"]
    assert rows[1][2:4] == ["no", "claim"]


def test_windows_of_other_streams_have_no_such_column(service: Service, run: Run) -> None:
    service.windows = [window(0, None)]

    assert "statement" not in run("windows", "cold")


def test_windows_for_programs_have_the_member_of_the_service(service: Service, run: Run) -> None:
    found = json.loads(run("windows", "cold", "--json"))["windows"]

    assert [each["statement"] for each in found] == ["readings", "blocks", "readings"]


@pytest.mark.parametrize(
    ("number", "said"), [(0, "Statement: readings"), (1, "Statement: no claim")]
)
def test_votes_show_what_was_voted_on(service: Service, run: Run, number: int, said: str) -> None:
    assert said in run("votes", "cold", number)


def test_votes_for_programs_have_the_statement(service: Service, run: Run) -> None:
    assert json.loads(run("votes", "cold", 1, "--json"))["statement"] == "blocks"
