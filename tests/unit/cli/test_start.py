"""What a command imports is not searched for garbage; what it makes later is."""

from __future__ import annotations

import subprocess
import sys

import pytest

STATES = """
import gc, sys
import click
from dragon_cli import start
from dragon_cli.groups import PackageGroup

seen = []

class Watched(PackageGroup):
    def get_command(self, ctx, name):
        seen.append(gc.isenabled())
        return found[name]

@click.command
def leaf():
    seen.extend([gc.isenabled(), gc.get_freeze_count() > 1000])

@click.group
def plain():
    pass

plain.add_command(leaf)
inner = Watched("inner", package="none", commands={})
found = {"inner": inner, "leaf": leaf, "plain": plain}
import dragon_cli.main
dragon_cli.main.dragon = Watched("outer", package="none")
sys.argv[1:] = sys.argv[1].split()
try:
    start.main()
finally:
    print(*seen)
"""


@pytest.mark.parametrize(
    ("arguments", "states"),
    [
        ("leaf", "False True True"),
        ("inner leaf", "False False True True"),
        ("plain leaf", "False True True"),
    ],
)
def test_the_search_for_garbage_begins_when_a_command_runs(arguments: str, states: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STATES, arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.split() == states.split(), done.stderr


def test_a_process_of_somebody_else_keeps_its_own_search() -> None:
    program = (
        "import gc; from dragon_cli.start import keep_imported; keep_imported();"
        "print(gc.isenabled(), gc.get_freeze_count())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.split() == ["True", "0"]
