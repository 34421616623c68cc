"""What commands print: they run in a copy of examples/reward-month, which has all their files."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

EXAMPLE: Final = Path(__file__).resolve().parents[2] / "examples" / "reward-month"
COLUMNS: Final = "100"  # width of the terminal
TIMEOUT_SECONDS: Final = 60


def block(line: str) -> str:
    """A command line, and what it prints. Commands that need another's files follow it by `&&`."""
    bin_folder = Path(sys.executable).parent
    environ = {
        "PATH": f"{bin_folder}:/usr/bin:/bin",
        "DRAGON_COMMITTEE": "committee.json",
        "COLUMNS": COLUMNS,
        "LC_ALL": "C.UTF-8",
    }
    with tempfile.TemporaryDirectory() as made:
        folder = shutil.copytree(EXAMPLE, Path(made) / "reward-month")
        done = subprocess.run(  # noqa: S603 - the lines stand in our own pages
            ["/bin/sh", "-c", line],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
    typed = "\n".join(f"{each}" for each in line.split(" && "))
    return f"```sh\n{typed}\n```\n\n```text\n{done.stdout.rstrip()}\n```"


def file(name: str) -> str:
    """A file of the example."""
    return (
        f"```{Path(name).suffix[1:]}\n{(EXAMPLE / name).read_text(encoding='utf-8').rstrip()}\n```"
    )
