"""The model of docs/scaling.md, with constants that make its results easy to compute by hand."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
WINDOW_COLUMNS = ["chunks", "close ms", "prove ms", "verify ms", "plain verify ms", "objects B"]
COMMITTEE_COLUMNS = ["operators", "quorum", "make ms", "checkpoint B", "window B", "largest B"]
TABLES = [
    {
        "title": "A window",
        "columns": [*WINDOW_COLUMNS],
        "rows": [
            ["63", "4", "30", "8", "40", "90000"],
            ["1023", "40", "400", "25", "80", "300000"],
        ],
        "note": "",
    },
    {
        "title": "A certificate, by committee",
        "columns": [*COMMITTEE_COLUMNS, "largest, long ids B"],
        "rows": [
            ["4", "3", "1", "600", "900", "1000", "1000"],
            ["14", "10", "2", "700", "1000", "1100", "2000"],
        ],
        "note": "",
    },
    {
        "title": "One of each",
        "columns": ["what", "ms"],
        "rows": [["sign", "0.5"], ["check", "2"], ["client", "1"], ["server", "3"], ["apply", "4"]],
        "note": "",
    },
]
CONDITIONS = {
    "date": "2026-11-30",
    "commit": "abcdef123456",
    "cores": 2,
    "processor": "a processor",
    "python": "3.11.2",
    "load": 0.4,
}


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("dragon_docs.scaling")


@pytest.fixture
def model(scaling: Any) -> Any:
    return scaling.Model.measured({"tables": TABLES})


@pytest.fixture
def network(scaling: Any) -> Any:
    return scaling.Network(operators=4, targets=10, chunks=630, window=63)


def test_an_operator_pays_for_probes_and_windows(model: Any, network: Any) -> None:
    assert model.probes(network) == pytest.approx((3 * (1 + 2) + 10 * 1 + 4 * (3 + 0.5)) / 5)
    assert model.votes(network) == pytest.approx(10 * (3 + 2 * 1 + 8 + 0.5 + 4))
    assert model.operator(network) == model.probes(network) + model.votes(network)


def test_an_aggregator_pays_for_each_operator_and_window(model: Any, network: Any) -> None:
    window = 4 * (1 + 2 + 2 * 3) + 1 + 4
    looks = (4 * (1 + 2) + 10 * 1) / 5
    checkpoints = (4 * (1 + 2) + 4) / 60

    assert model.collecting(network) == pytest.approx(window)
    assert model.aggregator(network) == pytest.approx(looks + checkpoints + 10 * window)


def test_provers_and_stream_services_pay_for_each_window(model: Any, network: Any) -> None:
    assert model.prover(network) == pytest.approx(10 * (30 + 3))
    assert model.stream(network) == pytest.approx(10 * (4 + 2 * 1 + 3))


def test_bytes_follow_from_windows_and_checkpoints(model: Any, network: Any) -> None:
    assert model.ledger(network) == pytest.approx(10 * 900 + 600 / 60)
    assert model.objects(network) == pytest.approx(10 * 90_000)


@pytest.mark.parametrize(("operators", "expected"), [(4, 900), (9, 950), (14, 1000), (24, 1100)])
def test_committees_that_were_not_measured_lie_on_a_line(
    model: Any, operators: int, expected: float
) -> None:
    assert model.committee(operators, "window B") == pytest.approx(expected)


def test_a_committee_ends_where_an_event_fills_a_batch(scaling: Any, model: Any) -> None:
    most = model.most_operators_by_event("largest B")

    assert model.committee(most, "largest B") <= scaling.MAX_BATCH_BYTES
    assert model.committee(most + 1, "largest B") > scaling.MAX_BATCH_BYTES
    assert model.most_operators_by_event("largest, long ids B") < most


def test_limits_take_one_core(scaling: Any, model: Any) -> None:
    most = model.most_operators_by_probes()
    chunks = model.most_chunks(63)

    assert model.probes(scaling.Network(most, 0, 0, 63)) <= scaling.CORE_MS
    assert model.votes(scaling.Network(4, 0, chunks, 63)) == pytest.approx(scaling.CORE_MS)
    assert model.most_windows(4) == pytest.approx(1000 / (4 * 9 + 5))


def test_every_part_is_generated_from_kept_results(
    scaling: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"format": 1, "benchmarks": {"scaling": {"conditions": CONDITIONS, "tables": TABLES}}}
    (tmp_path / "results.json").write_text(json.dumps(kept))
    monkeypatch.setattr(scaling.performance, "RESULTS", tmp_path / "results.json")

    assert "a processor" in scaling.section("constants")
    assert "| chunks/s | 300 | 3,000 | 10,000 | 40,000 |" in scaling.section("needs")
    assert "| windows/s that take one core of the aggregator | 24.4 with 4" in scaling.section(
        "limits"
    )


def test_a_page_without_results_says_so(
    scaling: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling.performance, "RESULTS", tmp_path / "missing.json")

    assert "No results" in scaling.section("needs")
    with pytest.raises(LookupError):
        scaling.section("speed")
