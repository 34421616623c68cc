"""The kept results of benchmarks, from which `make docs` writes docs/performance.md.

Each benchmark has its own conditions, because they are not all measured together.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from tables import BenchTable, Compared, compare

FORMAT: Final = 1
RESULTS: Final = Path(__file__).resolve().with_name("results.json")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a measurement depends on besides the code."""

    date: str  # UTC
    commit: str
    cores: int
    processor: str
    python: str
    load: float  # mean number of running processes in the minute before the benchmark

    @classmethod
    def now(cls, commit: str) -> Self:
        return cls(
            datetime.now(UTC).date().isoformat(),
            commit,
            len(os.sched_getaffinity(0)),
            _processor(),
            platform.python_version(),
            round(os.getloadavg()[0], 1),
        )


@dataclass(slots=True)
class Measured:
    """All runs of one benchmark: of the current code, and of a base commit if there is one."""

    name: str
    conditions: Conditions
    base: str = ""
    now: list[list[BenchTable]] = field(default_factory=list)
    before: list[list[BenchTable]] = field(default_factory=list)
    fault: str = ""  # why a run of the current code failed
    base_fault: str = ""  # why it failed at the base commit; it may have printed tables before

    def compared(self) -> list[Compared]:
        return compare(self.before, self.now)

    def to_json(self) -> dict[str, Any]:
        """The tables of the last run, and the medians beside those of the base commit."""
        document: dict[str, Any] = {
            "conditions": asdict(self.conditions),
            "tables": [table.to_json() for table in self.now[-1]],
        }
        if self.base:
            turns, compared = len(self.now), [asdict(one) for one in self.compared()]
            document["base"] = {"commit": self.base, "turns": turns, "figures": compared}
            if self.base_fault:
                how = "ended_early" if self.before else "not_measurable"
                document["base"][how] = self.base_fault
        return document


def write(measured: Iterable[Measured], path: Path = RESULTS) -> None:
    """Keep these results, and those of all other benchmarks that the file has.

    A benchmark that printed no table keeps its earlier results.
    """
    kept = json.loads(path.read_text(encoding="utf-8"))["benchmarks"] if path.exists() else {}
    kept |= {one.name: one.to_json() for one in measured if one.now}
    document = {"format": FORMAT, "benchmarks": dict(sorted(kept.items()))}
    text = json.dumps(document, ensure_ascii=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
