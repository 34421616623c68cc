"""What docs/heartbeats.md and the unit for systemd say about beats is true."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import requests

from committees import make_members, secret, with_heartbeats
from dragon import HttpClient
from dragon.protocol.beats import MAX_CLOCK_OFFSET_MS, Beat
from dragon.storage import keystore
from dragon_cli.fleet.layout import Home
from dragon_cli.main import dragon
from simulation import World

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/heartbeats.md").read_text()
UNIT = ROOT / "deploy/dragon-heartbeat@.service"
NODE = "sensor_1"
MEMBERS = with_heartbeats(make_members(), NODE)


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[World, requests.Session]]:
    """A fleet, and the folder of a machine in which the examples run."""
    with World(tmp_path, MEMBERS) as made:
        home = Home(tmp_path / "fleet")
        home.path.mkdir()
        home.committee_file.write_text(json.dumps(MEMBERS.committee.to_json()))
        keystore.write_private(home.keystore(NODE), keystore.seal(secret(NODE), "a password"))
        keystore.write_private(home.password(NODE), "a password\n")
        session = made.session("machine")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("time.time", lambda: made.clock.now)
        monkeypatch.setattr(HttpClient, "create", lambda: HttpClient(session))
        yield made, session


def blocks(language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_example_sends_a_beat(
    world: tuple[World, requests.Session], capsys: pytest.CaptureFixture[str]
) -> None:
    [example] = blocks("python")

    exec(compile(example, "docs/heartbeats.md", "exec"), {})

    assert capsys.readouterr().out == (
        "operator_1 took the beat; the clock is 0 ms ahead\n"
        "operator_2 took the beat; the clock is 0 ms ahead\n"
    )
    fleet, _ = world
    ages = [fleet.components(name).beats.newest(NODE).age_seconds for name in fleet.with_a_log()]
    assert ages == [0.0] * 5


def test_the_form_of_a_beat_is_as_described() -> None:
    beat, answer = (json.loads(each) for each in blocks("json"))

    assert beat.keys() == {*Beat(NODE, 1).members(), "signature"}
    assert answer.keys() == {"every_seconds", "new", "offset_ms"}
    assert f"{MAX_CLOCK_OFFSET_MS // 1000} s of the operator's clock" in PAGE


def test_every_command_of_the_page_has_these_options() -> None:
    """`target add` is described where it is made."""
    for block in blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            if words and words[0] == "docker":
                words = ["dragon", *words[words.index("datadragon/api") + 1 :]]
            if words and words[:2] != ["dragon", "target"]:
                parsed(words[1:])


def test_the_unit_calls_the_command_that_exists() -> None:
    unit: Any = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read(UNIT)
    service = unit["Service"]
    called = shlex.split(service["ExecStart"].replace("%i", NODE))

    assert parsed(called[1:])["node_id"] == NODE
    assert (service["Restart"], service["SuccessExitStatus"]) == ("always", "130")


def parsed(words: list[str]) -> dict[str, Any]:
    """The parameters of a command line, which is not run. Raises UsageError."""
    command: click.Command = dragon
    context = click.Context(command, info_name="dragon")
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, words
        command, words = found, words[1:]
        context = click.Context(command, parent=context, info_name=command.name)
    command.parse_args(context, list(words))
    return context.params
