"""Completion in shells."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dragon_cli.commands.completion import SHELLS, VARIABLE
from dragon_cli.main import main


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
    program = Path(sys.executable).with_name("dragon")
    asked: Mapping[str, str] = {
        **os.environ, VARIABLE: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(position),
    }  # fmt: skip
    done = subprocess.run([program], env=asked, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_and_options_are_completed() -> None:
    assert completions("dragon re", 1) == ["receipt", "report"]
    assert completions("dragon verify ", 2) == [
        "certificate",
        "downtime",
        "event",
        "log",
        "receipt",
    ]
    assert "--format" in completions("dragon report --f", 2)
    assert completions("dragon report --format h", 3) == ["html"]
    assert "check" in completions("dragon stream ch", 2)
