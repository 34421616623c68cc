"""Fixtures that every test may ask for."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import memoize
from simulation import World

memoize.install()


def pytest_configure() -> None:
    """Databases wait for the disk at every commit; files in memory have none to wait for. Provers
    have one worker: each takes seconds to start, of which other tests want some."""
    os.environ.setdefault("ZKP_WORKERS", "1")
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def pytest_collection_finish() -> None:
    """What is there by now stays, so the collector need not look through it again and again."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)


@pytest.fixture(autouse=True, scope="session")
def _usual_recursion_limit() -> None:
    """`py_ecc`, the oracle, raises the limit on import; our services keep Python's own."""
    sys.setrecursionlimit(1000)


@pytest.fixture(autouse=True, scope="session")
def _kept_kernels(pytestconfig: pytest.Config) -> Iterator[None]:
    """Kernels that tests compile are kept beside pytest's cache, or where the environment says."""
    with pytest.MonkeyPatch.context() as environment:
        if "NUMBA_CACHE_DIR" not in os.environ:
            assert pytestconfig.cache is not None
            environment.setenv("NUMBA_CACHE_DIR", str(pytestconfig.cache.mkdir("kernels")))
        yield


@pytest.fixture(scope="module")
def computed_anew() -> Iterator[None]:
    """For modules that test the arithmetic itself: nothing is remembered from test to test."""
    with memoize.forgotten():
        yield


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Four operators, an aggregator and a sequencer, all up and certified so.

    After the test every log is verified from its first entry, and all are compared.
    """
    with World(tmp_path) as made:
        made.run(2, peers=False)  # looking at each other is most of the work
        made.run(1)
        yield made
