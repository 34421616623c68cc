"""docs/agreements.md: its program runs, its commands exist, its rules are rules.

`make docs` runs the commands of the worked example and prints what they say into the page.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import click
import pytest

import reward_month
from dragon.agreements.rule_file import decode_rule
from dragon_cli.main import dragon

PAGE = (Path(__file__).parents[2] / "docs" / "agreements.md").read_text(encoding="utf-8")
HEAD = 'decimals = 2\nmaintenance = "down"\nunknown = "down"\nnodes = [{ id = "*", weight = 1 }]\n'


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


COMMANDS = [line for block in blocks("sh") for line in re.findall(r"^dragon (.+)$", block, re.M)]


def test_the_program_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(reward_month.FOLDER, tmp_path / "month")
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}

    [program] = blocks("python")
    exec(compile(program, "docs/agreements.md", "exec"), names)

    paid = reward_month.paid().payout
    assert paid is not None
    lines = [f"{each.node_id} {each.share} {each.units}" for each in paid.earnings]
    said = capsys.readouterr().out.splitlines()
    assert said == [*lines, f"undistributed: {paid.undistributed}"]


@pytest.mark.parametrize("typed", COMMANDS)
def test_a_command_of_the_page_exists_with_its_options(typed: str) -> None:
    words = shlex.split(typed.partition(" | ")[0])
    command: click.Command = dragon
    while isinstance(command, click.Group):
        name = words[0] if words[0] in command.list_commands(click.Context(command)) else None
        found = command.get_command(click.Context(command), name or "request")
        assert found is not None, typed
        words = words[1:] if name else words
        command = found
    known = {option for parameter in command.params for option in parameter.opts}
    given = {word for word in words if word.startswith("-") and word != "-"}
    assert given <= known


def test_every_rule_of_the_page_is_one() -> None:
    *tiers, whole = blocks("toml")

    assert whole.encode() == reward_month.rule_text()
    assert len(tiers) == 3
    for text in tiers:
        assert decode_rule(HEAD.encode() + text.encode()).tiers


def test_every_member_of_the_example_is_in_the_table() -> None:
    rule = reward_month.rule_text().decode()
    members = {*re.findall(r"^(\w+) =", rule, re.M), *re.findall(r"^\[\[\w+\]\]", rule, re.M)}

    listed = set(re.findall(r"^\| `([^`]+)` \|", PAGE, re.M))
    assert members <= listed
    assert "amount" in listed
