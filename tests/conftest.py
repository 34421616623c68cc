"""Fixtures for all tests."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import examples
import memoize
from dragon.node import log_format
from simulation import World

memoize.install()
examples.register()


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Remove handlers of logs that a test has left: they write to its own, closed output."""
    yield
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, logging.StreamHandler) and isinstance(
            handler.formatter, log_format.Lines
        ):
            root.removeHandler(handler)


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


@pytest.fixture(scope="session")
def certified_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The files of a fleet whose nodes are all certified up, and the time then."""
    folder = tmp_path_factory.mktemp("certified")
    with World(folder) as made:
        made.run(2, peers=False)  # probing peers is most of the work
        return folder, made.clock.now


@pytest.fixture
def world(
    request: pytest.FixtureRequest, tmp_path: Path, certified_files: tuple[Path, float]
) -> Iterator[World]:
    """Four operators, an aggregator and a sequencer; all nodes are certified up.

    All services were started on the files of a fleet, one round ago; with the mark `unbroken`, two
    rounds earlier, without any. After the test every log is verified from its first entry, and all
    logs are compared.
    """
    files, now = certified_files
    if request.node.get_closest_marker("unbroken"):
        with World(tmp_path) as made:
            made.run(2, peers=False)
            made.run(1)
            yield made
        return
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    with World(tmp_path, now=now) as made:
        made.run(1)
        yield made
