"""Which cells are figures, and how the figures of two commits are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def table(load: Any, *rows: list[str], title: str = "T") -> Any:
    columns = ["what", "ms", "goal"]
    return load("tables").BenchTable(title, columns, list(rows), "a note")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12.5", 12.5),
        ("17,400", 17_400.0),
        ("+3.1", 3.1),
        ("27 %", 27.0),
        ("1.5 MB/s", 1.5),
        ("60s", 60.0),
    ],
)
def test_a_number_with_or_without_a_unit_is_a_figure(load: Any, cell: str, value: float) -> None:
    assert load("tables").number(cell) == value


@pytest.mark.parametrize("cell", ["", "–", "≤ 12: MISSED", "3 of 4", "300: reached", "1.52 of 2"])
def test_other_cells_are_no_figures(load: Any, cell: str) -> None:
    assert load("tables").number(cell) is None


def test_medians_of_all_runs_are_compared(load: Any) -> None:
    tables = load("tables")
    before = [[table(load, ["a", each, ""])] for each in ("10", "30", "20")]
    now = [[table(load, ["a", each, "≤ 9: reached"])] for each in ("5", "1", "6")]

    [one] = tables.compare(before, now)

    assert (one.title, one.row, one.column) == ("T", "a", "ms")
    assert (one.before, one.now, one.ratio) == (20, 5, 0.25)


def test_rows_with_the_same_name_are_compared_in_their_order(load: Any) -> None:
    before, now = (
        table(load, ["a", "1", ""], ["a", "2", ""]),
        table(load, ["a", "3", ""], ["a", "4", ""]),
    )

    found = load("tables").compare([[before]], [[now]])

    assert [(one.before, one.now) for one in found] == [(1, 3), (2, 4)]


def test_a_figure_that_only_one_commit_has_is_left_out(load: Any) -> None:
    before, now = table(load, ["old", "1", ""]), table(load, ["new", "3", ""])

    assert load("tables").compare([[before]], [[now]]) == []


def test_a_ratio_to_zero_does_not_exist(load: Any) -> None:
    [one] = load("tables").compare([[table(load, ["a", "0", ""])]], [[table(load, ["a", "3", ""])]])

    assert one.ratio is None


def test_what_show_notes_is_read_again(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing, tables = load("timing"), load("tables")
    path = tmp_path / "tables"
    monkeypatch.setenv(timing.TABLES_VARIABLE, str(path))

    timing.show("T", ("what", "ms", "goal"), [("a", 5, "≤ 9: reached")], "a note")
    timing.show("U", ("what",), [], "")

    first, second = tables.read(path)
    assert first == table(load, ["a", "5", "≤ 9: reached"])
    assert second.title == "U"


def test_a_run_without_a_table_has_none(load: Any, tmp_path: Path) -> None:
    assert load("tables").read(tmp_path / "missing") == []
