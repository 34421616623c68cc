"""Runs `dragon` within the test's process."""

from __future__ import annotations

import pytest

from dragon_cli.main import main


def run_dragon(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run `dragon` with these arguments. No traceback may be shown.

    Returns the exit code, standard output and standard error.
    """
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return int(done.value.code or 0), out, err
