"""Medians of alternating measurements, and tables.

Computations are measured in processor time, so that other programs on the machine do not count.
They alternate with their reference, so that a slow second is slow for both.

If the environment variable DRAGON_BENCH_TABLES names a file, every table is also appended to it:
one line of JSON with title, columns, rows and note. `run.py` reads it.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

WIDTH: Final = 100
TABLES_VARIABLE: Final = "DRAGON_BENCH_TABLES"


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call, in seconds."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def medians(*works: Callable[[], object], repetitions: int) -> list[float]:
    """Median processor time of each work, in seconds. They alternate, after one warm-up call."""
    for work in works:
        work()
    rounds = [[seconds(work) for work in works] for _ in range(repetitions)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that at least `percent` of all values do not exceed (nearest rank)."""
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(1, rank) - 1]


def ms(duration: float) -> str:
    return f"{1000 * duration:.2f}"


def verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str) -> None:
    """Print a table, and note it for `run.py`. The first column is text, the others are figures."""
    texts = [[str(cell) for cell in row] for row in rows]
    if path := os.environ.get(TABLES_VARIABLE):
        with Path(path).open("a", encoding="utf-8") as file:
            shown = {"title": title, "columns": list(columns), "rows": texts, "note": note}
            file.write(json.dumps(shown, ensure_ascii=False) + "\n")
    table = Table(title=title, title_justify="left", caption=note, caption_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in texts:
        table.add_row(*row)
    Console(width=WIDTH).print(table)
