"""Runs the benchmarks, each in its own process: `make bench`, or `python bench/run.py NAME …`.

Each prints a table with our figure, a reference measured in the same run, and the goal. No test
depends on a time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

BENCHMARKS = (
    *("certificates", "finality", "replay", "watching", "sizes", "detection"),
    *("reads", "proofs", "ingest", "pipeline", "readings_pipeline", "flood", "flood_fleet"),
    "strangers",
    "connections",
    "explorer",
    "periods",
    "years",
)


def main(names: tuple[str, ...] = BENCHMARKS) -> int:
    """Run benchmarks. Return the number that failed."""
    begun, failed = time.monotonic(), 0
    for name in names:
        if name not in BENCHMARKS:
            raise SystemExit(f"unknown benchmark {name!a}; available: {', '.join(BENCHMARKS)}")
    for name in names:
        script = Path(__file__).with_name(f"{name}.py")
        failed += subprocess.run([sys.executable, str(script)], check=False).returncode != 0
    sys.stdout.write(f"total time: {time.monotonic() - begun:.0f} s\n")
    return failed


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or BENCHMARKS))
