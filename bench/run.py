"""Run the benchmarks, each in a process of its own: `make bench`, or `python bench/run.py NAME …`.

Each prints one table: our figure beside the reference, measured in the same run, and the goal. No
test depends on a time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

BENCHMARKS = (
    *("certificates", "finality", "replay", "watching", "sizes", "detection"),
    *("proofs", "ingest", "pipeline"),
)


def main(names: tuple[str, ...] = BENCHMARKS) -> int:
    """The number of benchmarks that did not come to their end."""
    begun, failed = time.monotonic(), 0
    for name in names:
        if name not in BENCHMARKS:
            raise SystemExit(f"there is no benchmark {name}; there are {', '.join(BENCHMARKS)}")
    for name in names:
        script = Path(__file__).with_name(f"{name}.py")
        failed += subprocess.run([sys.executable, str(script)], check=False).returncode != 0
    sys.stdout.write(f"all of it took {time.monotonic() - begun:.0f} s\n")
    return failed


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or BENCHMARKS))
