"""Fixtures for tests of proofs."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="module")
def _verified_anew(computed_anew: None) -> None:
    """Verify every proof, because here the verifiers are tested."""
