"""Medians of alternating measurements, and tables.

Computations are measured in processor time, so that other programs on the machine do not count.
They alternate with their reference, so that a slow second is slow for both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

WIDTH = 100


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
    """Print a table. The first column is text, the others are figures."""
    table = Table(title=title, title_justify="left", caption=note, caption_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(str, row))
    Console(width=WIDTH).print(table)
