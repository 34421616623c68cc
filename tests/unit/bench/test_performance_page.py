"""docs/performance.md says what the kept results say."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
CONDITIONS = {
    "date": "2026-11-30",
    "commit": "abcdef123456",
    "cores": 2,
    "processor": "a processor",
    "python": "3.11.2",
    "load": 0.4,
}
TABLE = {
    "title": "A proof verified",
    "columns": ["proof", "ms", "goal"],
    "rows": [["small", "4", "≤ 9: reached"], ["large", "40", "≤ 30: MISSED"]],
    "note": "Medians.",
}
FIGURE = {"title": "A proof verified", "row": "small", "column": "ms", "before": 16, "now": 4}
EQUAL = {**FIGURE, "row": "large", "before": 40, "now": 40}
NOTES = """
[[missed]]
benchmark = "proofs"
title = "A proof verified"
row = "large"
why = "Reading takes 15 ms."

[[ratio]]
benchmark = "proofs"
title = "A proof verified"
row = "small"
column = "ms"
what = "a small proof"
at_most = 0.35

[[ratio]]
benchmark = "ingest"
title = "Ingest"
row = "4 KB"
column = "MB/s"
what = "ingest"
at_least = 3
"""


@pytest.fixture
def section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Generates a part of the page from the results above."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    performance = importlib.import_module("dragon_docs.performance")
    base = {"commit": "ee857d34", "turns": 2, "figures": [FIGURE, EQUAL]}
    measured = {"conditions": CONDITIONS, "tables": [TABLE], "base": base}
    (tmp_path / "results.json").write_text(
        json.dumps({"format": 1, "benchmarks": {"proofs": measured}})
    )
    (tmp_path / "notes.toml").write_text(NOTES)
    monkeypatch.setattr(performance, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(performance, "NOTES", tmp_path / "notes.toml")
    return performance.section


def test_goals_are_counted_beside_their_conditions(section: Any) -> None:
    listed = section("goals")

    assert "| [proofs](#proofs) | 1 of 2 | 2026-11-30 | `abcdef123456` | 2 |" in listed
    assert "| a processor | 3.11.2 | 0.4 |" in listed


def test_a_missed_goal_is_named_with_its_explanation(section: Any) -> None:
    listed = section("missed")

    assert "| large | ≤ 30: missed | Reading takes 15 ms. |" in listed
    assert "small" not in listed


def test_a_ratio_is_judged_by_its_goal(section: Any) -> None:
    small, ingest = section("ratios").splitlines()[2:]

    assert small == "| a small proof | 16 | 4 | 0.25 | ≤ 0.35 | reached | `ee857d34` |"
    assert ingest.count("not measured") == 1


def test_every_table_stands_beside_the_earlier_commit(section: Any) -> None:
    text = section("tables")

    assert "| large | 40 | ≤ 30: MISSED |" in text
    assert "| A proof verified | small · ms | 16 | 4 | 0.25 |" in text
    assert "Equal in both: 1 figures." in text


def test_what_the_earlier_commit_lacks_is_stated(section: Any, tmp_path: Path) -> None:
    base = {"commit": "ee857d34", "turns": 1, "figures": [], "not_measurable": "no such module"}
    measured = {"conditions": CONDITIONS, "tables": [TABLE], "base": base}
    (tmp_path / "results.json").write_text(
        json.dumps({"format": 1, "benchmarks": {"proofs": measured}})
    )

    assert "Not measurable at `ee857d34`: no such module" in section("tables")


def test_a_benchmark_that_ended_early_at_the_earlier_commit_is_stated(
    section: Any, tmp_path: Path
) -> None:
    base = {"commit": "ee857d34", "turns": 1, "figures": [], "ended_early": "answered 400"}
    measured = {"conditions": CONDITIONS, "tables": [TABLE], "base": base}
    (tmp_path / "results.json").write_text(
        json.dumps({"format": 1, "benchmarks": {"proofs": measured}})
    )

    text = section("tables")

    assert "Ended early at `ee857d34`: answered 400" in text
    assert "Beside `ee857d34`" in text


def test_a_page_without_results_says_so(section: Any, tmp_path: Path) -> None:
    (tmp_path / "results.json").unlink()

    assert section("goals") == "No results are kept."
    assert section("missed") == "No goal is missed."


def test_an_unknown_part_is_refused(section: Any) -> None:
    with pytest.raises(LookupError):
        section("speed")
