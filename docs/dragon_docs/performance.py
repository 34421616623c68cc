"""Tables of docs/performance.md, from the kept results of `make bench RECORD=1`.

A goal is missed if a cell of a benchmark's table says so. performance.toml explains missed goals by
hand, and has the goals for the ratio to an earlier commit.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from dragon_docs import tables
from dragon_docs.tables import code

RESULTS: Final = Path(__file__).parents[2] / "bench" / "results.json"
NOTES: Final = Path(__file__).with_suffix(".toml")
REACHED, MISSED = "reached", "MISSED"  # what `verdict` in bench/timing.py writes

Document = Mapping[str, Any]


def section(part: str) -> str:
    """One part of the page.

    Args:
        part: `goals`, `missed`, `ratios` or `tables`.

    Raises:
        LookupError: there is no such part.
    """
    return {"goals": goals, "missed": missed, "ratios": ratios, "tables": every_table}[part]()


def goals() -> str:
    """How many goals each benchmark reaches, and its conditions."""
    rows = []
    for name, measured in kept().items():
        verdicts = [MISSED not in cell for *_, cell in _judged(name, measured)]
        count = f"{sum(verdicts)} of {len(verdicts)}" if verdicts else "–"
        rows.append((f"[{name}](#{name})", count, *_conditions(measured)))
    head = ("benchmark", "goals reached", "date", "commit", "cores", "processor", "Python", "load")
    return tables.table(head, rows) if rows else "No results are kept."


def missed() -> str:
    """Every missed goal, with the explanation that performance.toml has for it."""
    notes = _notes().get("missed", [])
    rows = [
        (*found[:3], found[3].replace(MISSED, "missed"), _why(notes, *found[:3]))
        for name, measured in kept().items()
        for found in _judged(name, measured)
        if MISSED in found[3]
    ]
    head = ("benchmark", "table", "row", "goal", "explanation")
    return tables.table(head, rows) if rows else "No goal is missed."


def ratios() -> str:
    """The figures with a goal for their ratio to an earlier commit."""
    rows = [_ratio_row(goal, kept().get(goal["benchmark"], {})) for goal in _ratio_goals()]
    head = ("what", "before", "now", "now / before", "goal", "result", "before is")
    return tables.table(head, rows) if rows else "No such goal is set."


def every_table() -> str:
    """All tables of all benchmarks."""
    return "\n\n".join(
        part for name, measured in kept().items() for part in _benchmark(name, measured)
    )


def _benchmark(name: str, measured: Document) -> Iterator[str]:
    yield f"### {name}"
    yield measured_at(measured)
    for table in measured["tables"]:
        yield f"**{table['title']}**"
        head = [column or " " for column in table["columns"]]
        yield tables.table(head, table["rows"])
        if table["note"]:
            yield tables.prose(table["note"])
    if base := measured.get("base"):
        yield from _beside(base)


def measured_at(measured: Document) -> str:
    """A sentence with the conditions of a benchmark."""
    date, commit, cores, processor, python, load = _conditions(measured)
    return (
        f"Measured on {date} at {commit}: {cores} cores of {processor}, Python {python}, "
        f"load {load} at the start."
    )


def _beside(base: Document) -> Iterator[str]:
    """The figures beside those of the earlier commit; equal ones are left out."""
    commit = code(base["commit"])
    if reason := base.get("not_measurable"):
        yield f"Not measurable at {commit}: {tables.escaped(reason)}"
        return
    if reason := base.get("ended_early"):
        yield f"Ended early at {commit}: {tables.escaped(reason)}"
    changed = [each for each in base["figures"] if each["before"] != each["now"]]
    equal = len(base["figures"]) - len(changed)
    yield (
        f"**Beside {commit}**: medians of {base['turns']} runs of each commit by turns. "
        f"Equal in both: {equal} figures."
    )
    if changed:
        head = ("table", "figure", "before", "now", "now / before")
        yield tables.table(head, map(_beside_row, changed))


def _beside_row(figure: Document) -> tuple[str, ...]:
    named = f"{figure['row']} · {figure['column']}"
    return figure["title"], named, *_compared(figure)


def _compared(figure: Document) -> tuple[str, str, str]:
    before, now = figure["before"], figure["now"]
    return f"{before:,g}", f"{now:,g}", f"{now / before:.2f}" if before else "–"


def _ratio_row(goal: Document, measured: Document) -> tuple[str, ...]:
    base = measured.get("base", {})
    at_most = "at_most" in goal
    bound = goal["at_most"] if at_most else goal["at_least"]
    said = f"{'≤' if at_most else '≥'} {bound}"
    for figure in base.get("figures", []):
        if all(figure[key] == goal[key] for key in ("title", "row", "column")) and figure["before"]:
            ratio = figure["now"] / figure["before"]
            reached = ratio <= bound if at_most else ratio >= bound
            result = REACHED if reached else "missed"
            return goal["what"], *_compared(figure), said, result, code(base["commit"])
    return goal["what"], "", "", "", said, "not measured", ""


def _judged(name: str, measured: Document) -> Iterator[tuple[str, str, str, str]]:
    """Every cell with a verdict: benchmark, title, first cell of the row, goal and verdict."""
    for table in measured["tables"]:
        for row in table["rows"]:
            for column, cell in zip(table["columns"], row, strict=True):
                if REACHED in cell or MISSED in cell:
                    judged = f"{column}: {cell}" if cell in {REACHED, MISSED} else cell
                    yield name, table["title"], row[0], judged


def _conditions(measured: Document) -> tuple[str, ...]:
    found = measured["conditions"]
    names = ("date", "commit", "cores", "processor", "python", "load")
    return tuple(code(found[name]) if name == "commit" else str(found[name]) for name in names)


def _why(notes: list[Document], benchmark: str, title: str, row: str) -> str:
    for note in notes:
        if (note["benchmark"], note["title"], note["row"]) == (benchmark, title, row):
            return str(note["why"])
    return ""


def kept() -> Document:
    """By name of the benchmark. Empty if no results are kept."""
    if not RESULTS.exists():
        return {}
    found: Document = json.loads(RESULTS.read_text(encoding="utf-8"))["benchmarks"]
    return found


def _notes() -> Document:
    return tomllib.loads(NOTES.read_text(encoding="utf-8"))


def _ratio_goals() -> list[Document]:
    found: list[Document] = _notes().get("ratio", [])
    return found
