"""Fixtures of the sequencer client's tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from dragon_sequencer import compiled


@pytest.fixture(scope="module", params=["plain", "compiled"])
def either_arithmetic(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a module's tests twice: with plain integers, and with compiled functions."""
    if request.param == "compiled":
        curve = pytest.importorskip("dragon_sequencer.machine.curve")
        compiled.use(curve.CompiledCurve())
    yield
    compiled.use(None)


@pytest.fixture(autouse=True)
def ordinary_recursion_limit() -> Iterator[None]:
    """Restore the default: py_ecc raises it so far that the JSON parser overflows the stack."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)
