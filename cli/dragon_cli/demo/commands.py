"""Run `dragon` commands as a user would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dragon.errors import StepFailed
from dragon_cli.fleet.processes import Fleet

COMMAND_SECONDS: Final = 120
CHECKPOINT_SECONDS: Final = 90.0


def run_command(arguments: Sequence[str], *, expect: int = 0) -> str:
    """Run a `dragon` command and return its output. Raises StepFailed: another exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "dragon_cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    output = (done.stdout + done.stderr).strip()
    if done.returncode != expect:
        command = " ".join(arguments[:2])
        code = f"exit code {done.returncode}, expected {expect}"
        raise StepFailed(f"`dragon {command}` ended with {code}: {output}")
    return output


def is_covered(fleet: Fleet, stream: str, window: int) -> bool:
    """Whether a certified checkpoint of the first operator covers a window of a stream."""
    operator = next(iter(fleet.committee.keys))
    certified = fleet.get(operator, "/checkpoint")["certified"]
    size = certified.get("size", 0) if isinstance(certified, dict) else 0
    verdicts = fleet.get(operator, f"/streams/{stream}/windows/{window}")["verdicts"]
    if not isinstance(verdicts, list) or not isinstance(size, int):
        return False
    return all(isinstance(v, dict) and int(str(v["position"])) < size for v in verdicts)


def verify_by_command(fleet: Fleet, what: str, path: Path, *, expect: int = 0) -> str:
    """Run `dragon verify WHAT` and return the first line of its output. Raises StepFailed."""
    committee = str(fleet.home.committee_file)
    arguments = ["verify", what, str(path), "--committee", committee]
    return run_command(arguments, expect=expect).splitlines()[0]
