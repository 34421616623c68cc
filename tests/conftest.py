"""Fixtures that every test may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Four operators, an aggregator and a sequencer, all up and certified so.

    After the test every log is verified from its first entry, and all are compared.
    """
    with World(tmp_path) as made:
        made.run(3)
        yield made
