"""A development sequencer as a process of its own, for containers that reach it on an address."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def sequencer_process(folder: Path, address: str, app: str, port: int = 7001) -> Iterator[Path]:
    """Run a sequencer that listens on `address`; yields its node list."""
    dragon = [sys.executable, "-m", "dragon_cli.main"]
    home = ["--home", str(folder / "network")]
    options = ["--app", app, "--sequencer-port", str(port)]
    subprocess.run([*dragon, "init", *home, *options], check=True, stdout=subprocess.DEVNULL)
    listed = (folder / "network" / "nodes.json").read_text()
    nodes = folder / "nodes.json"
    nodes.write_text(listed.replace("127.0.0.1", address))
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen(
            [*dragon, "serve", "sequencer", *home, "--host", address],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield nodes
    finally:
        process.terminate()
        process.wait(timeout=10)
