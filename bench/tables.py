"""Tables of benchmarks as data, and their comparison with those of another commit.

A figure is a cell that is a number, with or without a unit. Two figures are compared if title,
first cell of the row and column are equal. Of several runs the median counts.
"""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

NUMBER: Final = re.compile(r"([+-]?\d[\d,]*(?:\.\d+)?)(?: ?[^\d\s]\S{0,4})?")

# Title, text of the row, number among the rows with this text, column, number of the column.
Key: TypeAlias = tuple[str, str, int, str, int]


@dataclass(frozen=True, slots=True)
class BenchTable:
    """One table that a benchmark has printed."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        return cls(document["title"], document["columns"], document["rows"], document["note"])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def figures(self) -> Iterator[tuple[Key, float]]:
        """Every cell that is a number, and its place."""
        seen = Counter[str]()
        for row in self.rows:
            for place, cell in enumerate(row[1:], start=1):
                value = number(cell)
                if value is not None:
                    column = self.columns[place]
                    yield (self.title, row[0], seen[row[0]], column, place), value
            seen[row[0]] += 1


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of both commits, each the median of its runs."""

    title: str
    row: str
    column: str
    before: float
    now: float

    @property
    def ratio(self) -> float | None:
        """`now` as a multiple of `before`; None if that was zero."""
        return self.now / self.before if self.before else None


def number(cell: str) -> float | None:
    """The number in a cell, or None if the cell is anything else than one number and its unit."""
    found = NUMBER.fullmatch(cell.strip())
    return float(found[1].replace(",", "")) if found else None


def read(path: Path) -> list[BenchTable]:
    """The tables that one run of a benchmark has noted; none if there is no file."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [BenchTable.from_json(json.loads(line)) for line in lines]


def compare(
    before: Sequence[Sequence[BenchTable]], now: Sequence[Sequence[BenchTable]]
) -> list[Compared]:
    """Compare the runs of a benchmark at two commits, in the order of the current tables.

    A figure that one of the commits lacks is left out.
    """
    old, new = _medians(before), _medians(now)
    return [
        Compared(key[0], key[1], key[3], old[key], value)
        for key, value in new.items()
        if key in old
    ]


def _medians(runs: Sequence[Sequence[BenchTable]]) -> dict[Key, float]:
    values: dict[Key, list[float]] = {}
    for run in runs:
        for table in run:
            for key, value in table.figures():
                values.setdefault(key, []).append(value)
    return {key: statistics.median(each) for key, each in values.items()}
