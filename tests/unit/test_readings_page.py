"""The commands of docs/readings.md exist, and its figures are those that the code computes.

tests/integration/test_stream_reports_world.py runs reports and spot checks.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from dragon.protocol.streams.spot_check import MAX_DRAWN, found_probability
from dragon.protocol.streams.stream_report import MAX_LINE_BYTES, MAX_LOADED_BYTES
from dragon_cli.groups import DefaultGroup
from dragon_cli.main import UNCLAIMED, dragon

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/readings.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^dragon (.+)$", "\n".join(BLOCKS), re.MULTILINE)
TOTAL = 4464  # chunks of the example


def test_the_page_shows_every_command_about_reports_and_spot_checks() -> None:
    shown = {" ".join(shlex.split(each, comments=True)[:2]) for each in COMMANDS}

    assert {
        *("stream create", "stream report", "verify stream-report"),
        *("audit request", "audit answer", "audit verify"),
    } <= shown


@pytest.mark.parametrize("typed", COMMANDS)
def test_a_command_of_the_page_exists_with_its_options(typed: str) -> None:
    words = shlex.split(typed, comments=True)
    command: click.Command = dragon
    context = click.Context(dragon)
    while isinstance(command, click.Group):
        named = command.get_command(context, words[0])
        if named is None and isinstance(command, DefaultGroup):
            named = command.get_command(context, command.default)
        else:
            words = words[1:]
        assert named is not None
        command = named
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize(("drawn", "one_percent", "single"), [(20, 18, 0.4), (100, 64, 2.2)])
def test_the_table_of_probabilities_is_computed(
    drawn: int, one_percent: int, single: float
) -> None:
    [row] = re.findall(rf"^\| {drawn} \| (\d+) % \| \d+ % \| ([\d.]+) % \|$", PAGE, re.MULTILINE)

    assert row == (str(one_percent), str(single))
    assert round(100 * float(found_probability(TOTAL, drawn, TOTAL // 100 + 1))) == one_percent
    assert round(100 * float(found_probability(TOTAL, drawn, 1)), 1) == single


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    assert f"exit code {UNCLAIMED} if any window" in PAGE
    assert MAX_LINE_BYTES == 2 << 20
    assert "a line has at most 2 MiB" in PAGE
    assert MAX_LOADED_BYTES == 64 << 20
    assert "up to 64 MiB" in PAGE
    assert f"1 to {MAX_DRAWN:,} |" in (ROOT / "docs/spec/protocol.md").read_text()
