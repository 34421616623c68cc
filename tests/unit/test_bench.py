"""Every benchmark runs with little work and prints a table. No time is asserted."""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

BENCH = Path(__file__).parent.parent.parent / "bench"
LITTLE: dict[str, dict[str, Any]] = {
    "certificates": {"sizes": (4,), "repetitions": 1},
    "finality": {
        "repetitions": 1,
        "oracle_repetitions": 1,
        "counts": (1, 2),
        "several": 1,
        "seconds": 1.0,
        "loads": 1,
    },
    "replay": {"events": 3},
    "watching": {"targets": 2, "dead": 1, "repetitions": 1, "manners": ("refuse",)},
    "sizes": {"sizes": (4,)},
    "detection": {"outages": 3},
    "proofs": {
        "chunks": (1, 2),
        "length": 3,
        "sizes": (1,),
        "readings_counts": (1,),
        "most": 1,
        "cold": False,
    },
    "ingest": {"cases": ((4096, 1),)},
    "pipeline": {"windows": (1, 2)},
    "upload": {"megabytes": 1},
    "starts": {"ups": 2, "repetitions": 1},
    "readings_pipeline": {"windows": (62,)},
    "flood": {"batches": 4},
    "flood_fleet": {},
    "reads": {"days": 1},
    "strangers": {"seconds": 1.0},
    "connections": {},
    "explorer": {"days": 1, "operators": (4,), "nodes": 7, "repetitions": 1},
    "periods": {"days": 3, "nodes": 40},
    "years": {"days": 2, "turns": 1, "repetitions": 1},
    "scaling": {"windows": (1, 2), "committees": (4,), "repetitions": 1},
}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a script as `python bench/<name>.py` finds it."""
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module


def test_the_runner_knows_every_script(load: Any) -> None:
    helpers = {"timing", "run", "fixtures", "full_history", "long_log", "busy_ledger"}
    helpers |= {"baseline", "results", "tables"}

    assert set(load("run").BENCHMARKS) == {path.stem for path in BENCH.glob("*.py")} - helpers
    assert set(LITTLE) == set(load("run").BENCHMARKS)


@pytest.mark.parametrize("name", LITTLE)
def test_a_benchmark_runs_and_prints_a_table(
    load: Any, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script: ModuleType = load(name)
    if name == "detection":  # a fleet of processes takes long, and has its own tests
        monkeypatch.setattr(script, "measure", lambda _seconds, outages: ([1.0] * outages,) * 2)
    if name == "flood_fleet":
        monkeypatch.setattr(script, "measure", lambda *_: (1.0, 2.0, 3.0))
    if name == "strangers":
        started = SimpleNamespace(start_all=lambda: None, wait_ready=lambda: None)
        monkeypatch.setattr(script, "Fleet", lambda *_: nullcontext(started))
        monkeypatch.setattr(script, "measure", lambda *_: ([1.0, 2.0], 0.5))
    if name == "connections":
        probes = SimpleNamespace(answered=[0.01], results=[0.01], share=1.0)
        monkeypatch.setattr(script, "attacked", lambda *_: script.Result(probes, 1.0))
        monkeypatch.setattr(script, "cost", lambda *_: (1.0, 2.0))
    if name == "pipeline":  # it needs a fleet, too
        monkeypatch.setattr(script, "loaded", lambda _fleet, _seconds: None)
    if name == "upload":
        started = SimpleNamespace(start_all=lambda: None, wait_ready=lambda: None)
        monkeypatch.setattr(script, "new_fleet", lambda: nullcontext(started))
        monkeypatch.setattr(script, "measure", lambda *_: script.Uploaded(4.0, 5.0, 16, 1, 2.0))
    if name == "starts":
        monkeypatch.setattr(script, "running", lambda _home: nullcontext(3.5))
        monkeypatch.setattr(script, "save_event", lambda *_: None)
        monkeypatch.setattr(script, "save_log", lambda *_: None)
        monkeypatch.setattr(script, "processor", lambda _arguments: 0.1)
    if name == "readings_pipeline":  # so does this
        kinds = [script.Period(kind, 90.0, 1.5, 6, 700, 80_000, 90_000) for kind in script.ORDER]
        started = SimpleNamespace(start_all=lambda: None, wait_ready=lambda: None)
        monkeypatch.setattr(script, "new_fleet", lambda: nullcontext(started))
        monkeypatch.setattr(script, "loaded", lambda *_: kinds)
    if name == "ingest":  # it needs sockets
        monkeypatch.setattr(script, "running", lambda *_, **__: nullcontext())
        monkeypatch.setattr(script, "make_streams", lambda *_: [])
        monkeypatch.setattr(script, "rate", lambda *_: 100.0)

    script.main(**LITTLE[name])

    printed = capsys.readouterr().out
    assert "━" in printed
    assert script.__doc__


def test_a_percentile_is_one_of_the_values(load: Any) -> None:
    percentile = load("timing").percentile

    assert percentile(range(1, 21), 50) == 10
    assert percentile(range(1, 21), 95) == 19
    assert percentile([7.0], 95) == 7.0
