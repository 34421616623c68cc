"""Compiled functions are loaded once they are worth it, in the background, and only if possible."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dragon_sequencer import bn254, compiled, pairing
from dragon_sequencer.compiled import PERIOD_SECONDS, PRODUCTS, Demand
from dragon_sequencer.machine import self_test
from dragon_sequencer.pairing import GENERATOR_LINES

PAIRS = [
    (bn254.G1_GENERATOR, GENERATOR_LINES),
    (bn254.negate_g1(bn254.G1_GENERATOR), GENERATOR_LINES),
]


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """No functions in use and no demand, before and after each test."""
    monkeypatch.setattr(compiled, "_compiled", None)
    monkeypatch.setattr(compiled, "_demand", None)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Loading:
    """Counts how often it is called, and in which threads."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def __call__(self) -> None:
        self.threads.append(threading.current_thread())


def test_many_products_within_minutes_load_once_in_another_thread() -> None:
    loading, clock = Loading(), Clock()
    demand = Demand(loading, monotonic=clock)
    for _ in range(PRODUCTS - 1):
        demand.count()
        clock.now += PERIOD_SECONDS / PRODUCTS
    demand.wait()
    assert not loading.threads

    for _ in range(3 * PRODUCTS):
        demand.count()
    demand.wait()

    [thread] = loading.threads
    assert thread is not threading.current_thread()
    assert not thread.daemon


def test_a_service_that_verifies_little_never_loads() -> None:
    loading, clock = Loading(), Clock()
    demand = Demand(loading, monotonic=clock)
    for _ in range(5 * PRODUCTS):
        demand.count()
        clock.now += PERIOD_SECONDS / (PRODUCTS - 2)
    demand.wait()

    assert not loading.threads


def test_counting_does_not_wait_for_loading() -> None:
    done = threading.Event()
    demand = Demand(lambda: assert_set(done), monotonic=Clock())
    for _ in range(2 * PRODUCTS):
        demand.count()
    done.set()
    demand.wait()


def assert_set(event: threading.Event) -> None:
    assert event.wait(timeout=60)


def test_products_are_counted_if_a_service_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loading = Loading()
    monkeypatch.setattr(compiled, "load", loading)
    for _ in range(PRODUCTS):
        assert pairing.is_one([])
    assert compiled._demand is None

    compiled.load_on_demand()
    compiled.load_on_demand()
    for _ in range(PRODUCTS):
        assert pairing.is_one([])

    assert compiled._demand is not None
    compiled._demand.wait()
    assert len(loading.threads) == 1


def test_what_is_in_use_is_asked_and_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    class Asked:
        def is_one(self, pairs: object) -> bool:
            asked.append(pairs)
            return False

        def weighted_sum(self, points: object, factors: object) -> bn254.G1 | None:
            asked.append((points, factors))
            return None

        def curve_root(self, x: int) -> tuple[int, int]:
            asked.append(x)
            return bn254.curve_root_plain(x)

    loading = Loading()
    monkeypatch.setattr(compiled, "load", loading)
    compiled.load_on_demand()
    compiled.use(Asked())

    bn254.hash_to_curve.cache_clear()
    assert bn254.hash_to_curve(b"\1") == (1, 2)
    for _ in range(PRODUCTS):
        assert not pairing.is_one([])

    assert asked == [1] + [[]] * PRODUCTS
    assert not loading.threads


def test_loading_makes_the_process_use_them() -> None:
    curve = pytest.importorskip("dragon_sequencer.machine.curve")

    compiled.load()

    assert isinstance(compiled.in_use(), curve.CompiledCurve)
    assert pairing.is_one(PAIRS)
    assert not pairing.is_one(PAIRS[:1])


def test_without_the_extra_the_plain_functions_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("dragon_sequencer.machine")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "llvmlite", None)  # importing it fails
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)

    compiled.load()

    assert compiled.in_use() is None
    assert pairing.is_one(PAIRS)


def test_functions_that_fail_their_test_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("llvmlite")

    def failing(_: object) -> None:
        raise RuntimeError("wrong on this processor")

    monkeypatch.setattr(self_test, "check", failing)

    compiled.load()

    assert compiled.in_use() is None


def test_a_service_imports_nothing_of_the_compiler() -> None:
    """The process that forks services imports these, and the memory is not always needed."""
    script = (
        "import sys, dragon_sequencer.connect\n"
        "unwanted = ('llvmlite', 'numpy', 'dragon_sequencer.machine')\n"
        "print([name for name in sys.modules if name.startswith(unwanted)])\n"
    )
    root = Path(compiled.__file__).parents[2]
    path = os.pathsep.join([str(root / "core"), str(root / "sequencer_client")])

    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "[]"
