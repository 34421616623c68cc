"""Fixtures that every test may ask for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import remembered
from world import World

remembered.install()


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
    with remembered.forgotten():
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
