"""`dragon alerts`: every mistake is shown, and each route is tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from committees import make_members
from dragon_cli.commands.alerts import test as command
from dragon_cli.main import main
from dragon_explorer.alerts.channels import Attempt

FILE = """
[routes.team]
type = "webhook"
url = "https://example.org/secret-path"
[routes.spare]
type = "webhook"
url = "https://example.com/"
[[rules]]
name = "nodes"
on = ["node_down"]
nodes = ["target_*"]
routes = ["team", "spare"]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    committee = make_members(4, targets=1).committee
    (tmp_path / "committee.json").write_text(json.dumps(committee.to_json()))
    (tmp_path / "alerts.toml").write_text(FILE)
    return tmp_path


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["alerts", *map(str, arguments)])
    return int(ended.value.code or 0)


def test_a_good_file_is_summarised_without_secrets(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", "--home", home) == 0
    shown = capsys.readouterr().out
    assert "has no mistake" in shown
    assert "route team: webhook https://example.org, not signed" in shown
    assert "secret-path" not in shown

    assert run("check", "--home", home, "--json") == 0
    assert json.loads(capsys.readouterr().out)["routes"][0]["target"] == "https://example.org"


def test_every_mistake_is_a_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = home / "bad.toml"
    bad.write_text(FILE.replace("target_*", "x*").replace("node_down", "down"))

    assert run("check", bad, "--home", home) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("`rules[1].on` has 'down'; expected one of node_down")
    assert lines[1] == "`rules[1].nodes` has 'x*', which matches no node of the committee."
    assert lines[2].endswith(f"{bad} has 2 mistakes.")


def test_a_missing_file_names_the_example(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", home / "no.toml") == 2
    assert "alerts.example.toml" in capsys.readouterr().err


def test_each_route_is_tried(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Channel:
        def __init__(self, route: Any, *_: Any) -> None:
            self.name = route.name

        def send(self, message: Any) -> Attempt:
            assert message.type == "test"
            return Attempt("answered 503" if self.name == "spare" else "")

    monkeypatch.setattr(command, "channel", Channel)

    assert run("test", "--home", home, "--route", "team") == 0
    assert capsys.readouterr().out == "team (https://example.org): delivered\n"
    assert run("test", "--home", home) == 1
    assert "spare (https://example.com): failed: answered 503" in capsys.readouterr().out
    assert run("test", "--home", home, "--json") == 1
    assert json.loads(capsys.readouterr().out)["routes"]["team"] == "delivered"
    assert run("test", "--home", home, "--route", "no") == 1
    assert "it has team, spare" in capsys.readouterr().err
