"""README.md repeats what the code knows; here it is held to it."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from dragon.cli.main import with_all
from dragon.committee import byzantine_faults, quorum_of

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def commands(group: click.Group, prefix: str = "dragon") -> set[str]:
    found = set()
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix} {name}")
        else:
            found.add(f"{prefix} {name}")
    return found


def test_the_table_of_commands_is_complete() -> None:
    table = README.partition("| command | |")[2].partition("\n\n")[0]

    assert set(re.findall(r"`(dragon [a-z ]+)`", table)) == commands(with_all())


@pytest.mark.parametrize("line", sorted(set(re.findall(r"[`$] ?make ([a-z0-9]+)", README))))
def test_every_make_target_that_is_named_exists(line: str) -> None:
    assert re.search(rf"^{line}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_table_of_committees_is_right() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", README, re.MULTILINE)

    assert len(rows) == 6
    for size, quorum, out, lie in (map(int, row) for row in rows):
        assert quorum == quorum_of("byzantine", size)
        assert (out, lie) == (size - quorum, byzantine_faults(size))


def test_the_steps_shown_are_the_steps_of_the_demonstration() -> None:
    source = (ROOT / "core/dragon/cli/demo.py").read_text()
    shown = re.findall(r"^ ?\d+  (.*) …$", README, re.MULTILINE)

    assert len(shown) == 15
    for title in shown:
        assert title.replace("operator_2", "{VICTIM}") in source


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()
