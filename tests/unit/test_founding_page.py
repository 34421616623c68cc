"""The commands of docs/founding.md exist. tests/e2e/test_founding.py runs them in containers."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from dragon_cli.main import dragon
from walkthrough import ROOT, sections

PAGE = (ROOT / "docs" / "founding.md").read_text(encoding="utf-8")
BLOCKS = [block for found in sections(PAGE).values() for block in found]
COMMANDS = re.findall(
    r"(?:^|operator )dragon (.+)$",
    "\n".join(block.text.replace("\\\n", " ") for block in BLOCKS),
    re.MULTILINE,
)


def test_every_organisation_types_something() -> None:
    assert {block.who for block in BLOCKS} == {
        *("everybody", "each"),
        *("alpha", "beta", "delta", "data"),
    }
    assert len(COMMANDS) > 12


@pytest.mark.parametrize("typed", COMMANDS)
def test_a_command_of_the_page_exists_with_its_options(typed: str) -> None:
    words = shlex.split(typed.partition(" < ")[0].partition(" > ")[0])
    command: click.Command = dragon
    context = click.Context(dragon)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None
        command = found
    known = {option for parameter in command.params for option in parameter.opts}
    given = {word for word in words if word.startswith("-") and word != "-"}
    assert given <= known
