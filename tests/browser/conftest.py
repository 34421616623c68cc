"""A simulated fleet, its explorer on a local port, and Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from committees import make_members
from explorer_browser import DESKTOP, Watched, chromium, served
from explorer_epochs import EpochsWorld, three_handovers
from explorer_fleet import ExplorerWorld, SmallExplorerWorld, fleet_with_history


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser. It is never skipped: without it, the tests fail."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExplorerWorld]:
    """A fleet with a stream, in which operator_4 hangs. Tests only read it."""
    with fleet_with_history(tmp_path_factory.mktemp("fleet")) as world:
        yield world


@pytest.fixture(scope="session")
def base(fleet: ExplorerWorld) -> Iterator[str]:
    with served(fleet) as address:
        yield address


@pytest.fixture(scope="session")
def epochs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EpochsWorld]:
    """A fleet in epoch 3, with approvals of epoch 4. Tests only read it."""
    with three_handovers(tmp_path_factory.mktemp("epochs")) as world:
        yield world


@pytest.fixture(scope="session")
def changed(epochs: EpochsWorld) -> Iterator[str]:
    """The address of its explorer."""
    with served(epochs) as address:
        yield address


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallExplorerWorld]:
    """A fleet of its own for a test that changes it, after three rounds."""
    world = SmallExplorerWorld(tmp_path, make_members(), verify_at_end=False)
    with world:
        world.run(3)
        yield world


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Watched]]:
    """Opens a page of its own, and checks at the end that nothing bad happened on it."""
    opened: list[Watched] = []

    def make(base: str, **options: Any) -> Watched:
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        context.set_default_timeout(5000)
        watched = Watched(context.new_page(), base)
        opened.append(watched)
        return watched

    yield make
    for each in opened:
        each.page.context.close()
    assert [each.errors for each in opened if each.errors] == []
    assert [each.strangers for each in opened if each.strangers] == []
