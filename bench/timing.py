"""What every benchmark needs: medians of what is done in turns, and a table.

What computes is measured in seconds of the processor, so that other programs on the machine do not
count, and in turns with its reference, so that a slow second is slow for both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

WIDTH = 100


def seconds(work: Callable[[], object]) -> float:
    """How long `work` keeps the processor, once."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def medians(*works: Callable[[], object], repetitions: int) -> list[float]:
    """The median time of each, in seconds; all are done in turns, each once beforehand."""
    for work in works:
        work()
    rounds = [[seconds(work) for work in works] for _ in range(repetitions)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that at least so many percent do not exceed (the nearest rank)."""
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(1, rank) - 1]


def ms(duration: float) -> str:
    return f"{1000 * duration:.2f}"


def verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str) -> None:
    """Print a table: the first column is text, the others are figures."""
    table = Table(title=title, title_justify="left", caption=note, caption_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(str, row))
    Console(width=WIDTH).print(table)
