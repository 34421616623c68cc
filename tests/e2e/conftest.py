"""One image and one network for all tests. They are removed at the end, also after a failure."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import docker
import pytest

from sequencers import sequencer_process
from stack import COMPOSE_V2, ROOT, Stack, clean_up, own_address

PREFIX: Final = "datadragon-e2e"
IMAGES: Final = {"IMAGE_PREFIX": PREFIX, "TAG": "e2e"}
APP: Final = "an-app-elsewhere"
LABEL: Final = "datadragon.test=e2e"
PLAIN, WITH_TLS, OUTSIDE = PROJECTS = (PREFIX, f"{PREFIX}-tls", f"{PREFIX}-outside")
LINES: pytest.StashKey[list[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LINES] = []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if lines := config.stash[LINES]:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> list[str]:
    """Lines that are printed at the end."""
    return pytestconfig.stash[LINES]


@pytest.fixture(scope="session")
def image(report: list[str]) -> Iterator[str]:
    """Both images as a user builds them; the API's name.

    They are removed at the end, but with DRAGON_E2E_KEEP_IMAGE=1.
    """
    engine = docker.from_env(timeout=60)
    name = f"{PREFIX}/api:{IMAGES['TAG']}"
    begun = time.monotonic()
    try:
        for script in ("build_api.sh", "build_zkp.sh"):
            build = [str(ROOT / script), "--label", LABEL]
            subprocess.run(build, cwd=ROOT, env={**os.environ, **IMAGES}, check=True, timeout=420)
        report.append(f"both images built in {time.monotonic() - begun:.0f} s")
        base = engine.images.get(os.environ.get("BASE_IMAGE", "python:3.11-slim-bookworm"))
        for built in ("api", "zkp"):
            size = engine.images.get(f"{PREFIX}/{built}:{IMAGES['TAG']}").attrs["Size"]
            own = (size - base.attrs["Size"]) / 1e6
            report.append(f"image {built}: {size / 1e6:.0f} MB, of which {own:.0f} MB ours")
        yield name
    finally:
        if not os.environ.get("DRAGON_E2E_KEEP_IMAGE"):
            for label in (LABEL, "datadragon.stage=build"):
                for built in engine.images.list(filters={"label": label}):
                    engine.images.remove(built.id, force=True)
        engine.close()


def _stack(
    project: str, *files: str, command: Sequence[str] | None = None, **settings: str
) -> Iterator[Stack]:
    """They publish the same ports: one ends where the next begins."""
    stack = Stack(project, ["docker-compose.yml", *files], IMAGES | settings, command)
    for other in PROJECTS:  # also what a run left that was killed itself
        clean_up(stack.engine, other)
    try:
        yield stack
    finally:
        stack.close()


@pytest.fixture(scope="session")
def stack(image: str, report: list[str]) -> Iterator[Stack]:
    """The network of the compose file, all healthy, all certified up. For the modules that share
    it, of which the last takes it down."""
    for made in _stack(PLAIN, "tests/e2e/compose.e2e.yml"):
        begun = time.monotonic()
        made.compose("up", "-d")
        made.wait_healthy()
        healthy = time.monotonic() - begun
        made.wait_settled()
        report.append(
            f"up: all healthy after {healthy:.1f} s, "
            f"all certified up after {time.monotonic() - begun:.1f} s"
        )
        yield made


@pytest.fixture
def network(stack: Stack) -> Iterator[Stack]:
    """The same, whole and settled again after each test that breaks something."""
    before = stack.wait_settled()
    yield stack
    after = stack.wait_settled()
    assert after[0] >= before[0], "a log has become shorter"


@pytest.fixture(scope="module")
def stack_with_tls(image: str) -> Iterator[Stack]:
    """Started by Compose v2, the others by the older one where it is installed."""
    files = ("tests/e2e/compose.e2e.yml", "docker-compose.tls.yml")
    for made in _stack(WITH_TLS, *files, command=COMPOSE_V2):
        made.scheme = "https"
        yield made


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The node list of a Zellular network that is no part of the fleet: a process on this host."""
    with sequencer_process(tmp_path_factory.mktemp("outside"), own_address(), APP) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def stack_outside(image: str, outside: Path) -> Iterator[Stack]:
    files = ("tests/e2e/compose.e2e.yml", "docker-compose.zellular.yml")
    settings = {"ZELLULAR_NODES": str(outside), "ZELLULAR_APP": APP}
    yield from _stack(OUTSIDE, *files, **settings)
