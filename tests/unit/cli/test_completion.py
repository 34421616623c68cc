"""Completion in shells."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import pytest
from click.shell_completion import BashComplete

from dragon.errors import Unreachable
from dragon.net.http_client import HttpClient
from dragon_cli.commands.completion import SHELLS, VARIABLE
from dragon_cli.main import dragon, main
from wsgi import WsgiAdapter


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as done:
        main(["completion", *arguments])
    assert not done.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell_asks_the_program(
    capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    script = printed(capsys, shell)

    assert f"{VARIABLE}={shell}_complete" in script
    assert json.loads(printed(capsys, shell, "--json")) == {
        "shell": shell, "script": script.removesuffix("\n"),
    }  # fmt: skip
    if shell != "fish" and shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def completions(words: str, position: int) -> list[str]:
    """What the program itself prints."""
    program = Path(sys.executable).with_name("dragon")
    asked: Mapping[str, str] = {
        **os.environ, VARIABLE: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(position),
    }  # fmt: skip
    done = subprocess.run([program], env=asked, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_the_program_completes_commands_and_options() -> None:
    assert completions("dragon re", 1) == ["receipt", "report"]
    assert "--csv" in completions("dragon stream --cs", 2)


# In this process: starting the program takes half a second


def values(words: str, incomplete: str = "") -> list[str]:
    asked = BashComplete(dragon, {}, "dragon", VARIABLE)
    return [each.value for each in asked.get_completions(words.split(), incomplete)]


def test_commands_and_options_are_completed() -> None:
    assert values("", "re") == ["receipt", "report"]
    assert values("verify") == [
        "certificate",
        "downtime",
        "event",
        "evidence",
        "lineage",
        "log",
        "period",
        "receipt",
        "report",
        "stream-report",
    ]
    assert "--format" in values("report", "--f")
    assert values("report --format", "h") == ["html"]
    assert "check" in values("stream", "ch")
    assert values("stream", "cr") == ["create"]
    assert values("stream create x", "--ro") == ["--rounding"]
    assert values("stream create x --rounding") == ["exact", "half-even"]
    assert values("stream --csv FILE", "--col") == ["--column"]
    assert "--csv" in values("stream", "--cs")
    assert values("source sensor", "--no-r") == ["--no-readings"]
    assert values("committee", "a") == ["approve", "assemble"]
    assert values("target") == ["add", "list", "remove", "try"]


COMMITTEE = {
    "operators": [{"id": "operator_1"}, {"id": "operator_2"}, {"id": "$(reboot)"}],
    "experts": [{"id": "expert_1"}],
    "owners": [{"id": "shop"}],
    "targets": [{"id": "website"}],
    "aggregators": [{"rank": 0}, {"rank": 1}],
}
ID = "0x" + "ab" * 32


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fleet whose stream service answers with two streams, one with a hostile name."""
    listed = [{"name": "readings", "stream": ID}, {"name": "a\n;b", "stream": "0x" + "cd" * 32}]
    body = json.dumps({"streams": listed}).encode()

    def app(_environ: object, start: Callable[..., object]) -> list[bytes]:
        start("200 OK", [("Content-Type", "application/json")])
        return [body]

    wires = WsgiAdapter()
    wires.mount("streams:1", app)
    monkeypatch.setattr("dragon.net.session.make_session", lambda _ca: wires.session())
    (tmp_path / "committee.json").write_text(json.dumps(COMMITTEE))
    (tmp_path / "services.json").write_text('{"stream_api": "http://streams:1"}')
    (tmp_path / "alerts.toml").write_text('[routes.team]\n[routes."b; c"]\n')
    return tmp_path


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ("downtime --home {}", "", ["operator_1", "operator_2", "website"]),
        ("downtime --home {}", "w", ["website"]),
        ("nodes --home {} --operator", "", ["operator_1", "operator_2"]),
        ("logs --home {} --node-id", "web", ["website"]),
        ("report --home {} --node", "operator_2", ["operator_2"]),
        ("incidents --home {} --node", "x", []),
        ("serve operator --home {} --id", "", ["operator_1", "operator_2"]),
        ("rounds --home {} --aggregator", "", ["0", "1"]),
        ("windows --home {}", "", ["readings"]),
        ("votes --home {}", "r", ["readings"]),
        ("windows --home {}", "0xa", [ID]),
        ("verify receipt --committee {}/committee.json --stream", "0xab", [ID]),
        ("alerts test --home {} --route", "", ["team"]),
        ("target remove --home {}", "", ["website"]),
        ("target try --home {}", "", ["website"]),
        ("target add --home {} --owner", "", ["operator_1", "operator_2", "expert_1", "shop"]),
        ("maintenance add --home {}", "", ["operator_1", "operator_2", "website"]),
        ("maintenance list --home {}", "w", ["website"]),
        ("committee approve x --home {} --operator", "", ["operator_1", "operator_2"]),
        ("committee withdraw --home {} --operator", "operator_2", ["operator_2"]),
    ],
)
def test_values_of_a_fleet_are_completed(
    home: Path, words: str, incomplete: str, expected: list[str]
) -> None:
    assert values(words.format(home), incomplete) == expected


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"operators": 3}', '{"operators": [1]}'])
@pytest.mark.parametrize(
    "words", ["downtime", "windows", "nodes --operator", "alerts test --route"]
)
def test_what_cannot_be_read_gives_no_values_and_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, content: str | None
) -> None:
    if content is not None:
        for name in ("committee.json", "services.json", "alerts.toml"):
            (tmp_path / name).write_text(content)
    command, *rest = words.split()

    assert values(" ".join([command, *rest[:-1], "--home", str(tmp_path), *rest[-1:]])) == []
    assert capsys.readouterr() == ("", "")


def test_a_service_is_waited_for_at_most_a_second(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines: list[float] = []

    def get(_client: HttpClient, _url: str, *, deadline: float, **_options: object) -> NoReturn:
        deadlines.append(deadline)
        raise Unreachable("no answer in time")

    monkeypatch.setattr(HttpClient, "get", get)

    assert values(f"windows --home {home}") == []
    assert deadlines[0] < 1
