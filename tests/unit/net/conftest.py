"""Certificates for the tests of TLS."""

from __future__ import annotations

import pytest

from authorities import Papers
from dragon.net.tls import Tls


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers.make(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def shown(papers: Papers) -> Tls:
    """The TLS settings of a service with a valid certificate."""
    return papers.service("service")
