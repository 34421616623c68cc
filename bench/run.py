"""Run benchmarks, each in its own process, and compare them with an earlier commit.

    make bench                                          all of them (ten minutes)
    make bench ONLY="finality proofs"                   some of them
    make bench ONLY=finality BASE=HEAD~1 TURNS=3        beside the commit before, three times each
    make bench RECORD=1                                 keep the results for docs/performance.md

Each prints a table with our figure, a reference measured in the same run, and the goal. With BASE,
the two commits alternate, so that a slow minute is slow for both, and every figure is printed
beside the earlier one. No test depends on a time.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final

import baseline
import results
from results import Conditions, Measured
from tables import BenchTable, Compared, read
from timing import TABLES_VARIABLE, show

BENCHMARKS: Final = (
    *("certificates", "finality", "replay", "watching", "sizes", "detection"),
    *("reads", "proofs", "ingest", "pipeline", "upload", "readings_pipeline", "starts", "flood"),
    "flood_fleet",
    "strangers",
    "connections",
    "explorer",
    "periods",
    "years",
    "scaling",
)
TURNS: Final = 2  # runs of each commit


def main(arguments: list[str] | None = None, root: Path = baseline.ROOT) -> int:
    """Run benchmarks of the code in `root`. Return the number that failed."""
    chosen = _options().parse_args(arguments)
    names = [name for given in chosen.names for name in given.split()] or BENCHMARKS
    for name in names:
        if name not in BENCHMARKS:
            raise SystemExit(f"unknown benchmark {name!a}; available: {', '.join(BENCHMARKS)}")
    begun = time.monotonic()
    measured = _measure(names, chosen.base, chosen.turns, root)
    if chosen.record:
        results.write(measured, root / "bench" / results.RESULTS.name)
    failed = [one for one in measured if one.fault]
    for one in failed:
        sys.stdout.write(f"{one.name} failed: {one.fault}\n")
    sys.stdout.write(f"total time: {time.monotonic() - begun:.0f} s\n")
    return len(failed)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench/run.py")
    parser.add_argument("names", nargs="*", metavar="NAME", help="Benchmarks (default: all).")
    parser.add_argument("--base", metavar="COMMIT", help="Compare with the code of this commit.")
    parser.add_argument(
        "--turns", type=int, default=TURNS, help=f"Runs of each commit (default: {TURNS})."
    )
    parser.add_argument(
        "--record", action="store_true", help="Keep the results for docs/performance.md."
    )
    return parser


def _measure(
    names: list[str] | tuple[str, ...], base: str, turns: int, root: Path
) -> list[Measured]:
    if not base:
        commit = baseline.describe(root)
        return [_turns(Measured(name, Conditions.now(commit)), root, None, 1) for name in names]
    found = baseline.resolve(base, root)
    measured = []
    with baseline.worktree(found, root) as old:
        for tree in (root, old):
            baseline.check_imports(tree, baseline.environment(tree))
        for name in names:
            one = Measured(name, Conditions.now(baseline.describe(root)), found[:12])
            measured.append(_turns(one, root, old, max(1, turns)))
            _print_comparison(one)
    return measured


def _turns(measured: Measured, root: Path, old: Path | None, turns: int) -> Measured:
    """Run one benchmark with both trees by turns; the earlier tree first."""
    for _ in range(turns):
        if old and not measured.base_fault:
            tables, fault = _run(measured.name, old, quiet=True)
            measured.before += [tables] if tables else []
            measured.base_fault = fault or ("" if tables else "it printed no table")
        tables, fault = _run(measured.name, root, quiet=False)
        measured.now += [tables] if tables else []
        measured.fault = measured.fault or fault
    return measured


def _run(name: str, tree: Path, *, quiet: bool) -> tuple[list[BenchTable], str]:
    """Run a benchmark once with the code in `tree`. Return its tables, and why it failed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        noted = Path(folder) / "tables"
        done = subprocess.run(
            [sys.executable, str(tree / "bench" / f"{name}.py")],
            env={**baseline.environment(tree), TABLES_VARIABLE: str(noted)},
            stdout=subprocess.DEVNULL if quiet else None,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        tables = read(noted)
    if not quiet:
        sys.stderr.write(done.stderr)
    fault = f"exit code {done.returncode}: {baseline.last_line(done.stderr)}"
    return tables, fault if done.returncode else ""


def _print_comparison(measured: Measured) -> None:
    """Print the figures of both commits, and name what could not be compared."""
    if measured.base_fault:
        how = "ended early" if measured.before else "not measurable"
        said = f"{measured.name}: {how} at {measured.base}: {measured.base_fault}\n"
        sys.stdout.write(said)
    if not measured.before:
        return
    note = f"{len(measured.now)} runs of each commit by turns; load {os.getloadavg()[0]:.1f}."
    for title, figures in groupby(measured.compared(), attrgetter("title")):
        compared = list(figures)
        rows = [_row(one) for one in compared if one.before != one.now]
        same = f" Equal in both: {len(compared) - len(rows)}." if len(rows) < len(compared) else ""
        columns = ("figure", "before", "now", "now / before")
        show(f"{title}: now, and at {measured.base}", columns, rows, f"Medians of {note}{same}")


def _row(one: Compared) -> tuple[str, ...]:
    ratio = "–" if one.ratio is None else f"{one.ratio:.2f}"
    return f"{one.row} · {one.column}", f"{one.before:,g}", f"{one.now:,g}", ratio


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)  # so that the worktree is removed
    signal.signal(signal.SIGHUP, _stop)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
