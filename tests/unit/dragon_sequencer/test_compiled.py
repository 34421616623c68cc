"""Compiled functions are loaded once they are worth it, in the background."""

from __future__ import annotations

import threading

import pytest

from dragon_sequencer import bn254, compiled, pairing
from dragon_sequencer.compiled import PERIOD_SECONDS, PRODUCTS, Demand


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


def test_a_system_that_refuses_a_thread_is_asked_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loading = Loading()
    demand = Demand(loading, monotonic=Clock())

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(PRODUCTS):
            demand.count()
    for _ in range(PRODUCTS - 1):
        demand.count()
    demand.wait()
    assert not loading.threads

    demand.count()
    demand.wait()
    assert len(loading.threads) == 1


def test_counting_does_not_wait_for_loading() -> None:
    done = threading.Event()
    demand = Demand(lambda: assert_set(done), monotonic=Clock())
    for _ in range(2 * PRODUCTS):
        demand.count()
    done.set()
    demand.wait()


def assert_set(event: threading.Event) -> None:
    assert event.wait(timeout=60)


def test_products_are_counted_if_a_service_asks_for_it() -> None:
    loading = Loading()
    for _ in range(PRODUCTS):
        assert pairing.is_one([])
    assert compiled._demand is None

    compiled.load_on_demand(loading)
    compiled.load_on_demand(loading)
    for _ in range(PRODUCTS):
        assert pairing.is_one([])

    assert compiled._demand is not None
    compiled._demand.wait()
    assert len(loading.threads) == 1


def test_what_is_in_use_is_asked_and_counts_nothing() -> None:
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
    compiled.load_on_demand(loading)
    compiled.use(Asked())

    bn254.hash_to_curve.cache_clear()
    assert bn254.hash_to_curve(b"\1") == (1, 2)
    for _ in range(PRODUCTS):
        assert not pairing.is_one([])

    assert asked == [1] + [[]] * PRODUCTS
    assert not loading.threads
