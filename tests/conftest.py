"""Fixtures for all tests."""

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
    """Put temporary files into memory, because databases wait for the disk at every commit.

    Provers get one worker, because each takes seconds of processor time to start.
    """
    os.environ.setdefault("ZKP_WORKERS", "1")
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def pytest_collection_finish() -> None:
    """Exclude all existing objects from garbage collection."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)


@pytest.fixture(autouse=True, scope="session")
def _usual_recursion_limit() -> None:
    """Keep Python's default, as our services do: `py_ecc` raises it on import."""
    sys.setrecursionlimit(1000)


@pytest.fixture(autouse=True, scope="session")
def _kept_kernels(pytestconfig: pytest.Config) -> Iterator[None]:
    """Cache compiled kernels beside pytest's cache, or where NUMBA_CACHE_DIR says."""
    with pytest.MonkeyPatch.context() as environment:
        if "NUMBA_CACHE_DIR" not in os.environ:
            assert pytestconfig.cache is not None
            environment.setenv("NUMBA_CACHE_DIR", str(pytestconfig.cache.mkdir("kernels")))
        yield


@pytest.fixture(scope="module")
def computed_anew() -> Iterator[None]:
    """Disable memoizing, for modules that test the arithmetic itself."""
    with memoize.forgotten():
        yield


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Four operators, an aggregator and a sequencer; all nodes are certified up.

    After the test every log is verified from its first entry, and all logs are compared.
    """
    with World(tmp_path) as made:
        made.run(2, peers=False)  # probing peers is most of the work
        made.run(1)
        yield made
