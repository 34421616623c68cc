"""The services' own descriptions, `GET /openapi.json`, without running a service.

An app is built around stand-ins: its routes are described when they are defined, and none of them
is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final
from unittest.mock import MagicMock

from flask import Flask

from dragon.node.openapi import URL
from dragon_aggregator.app import create_app as create_aggregator
from dragon_explorer.app import create_app as create_explorer
from dragon_operator.app import create_app as create_operator
from dragon_sequencer.devnet.app import create_app as create_sequencer
from dragon_stream.app import create_app as create_stream
from dragon_zkp.app import create_app as create_prover

CREATE: Final[Mapping[str, Callable[[], Flask]]] = {
    "operator": lambda: create_operator(MagicMock()),
    "aggregator": lambda: create_aggregator(MagicMock()),
    "stream": lambda: create_stream(MagicMock()),
    "prover": lambda: create_prover(MagicMock()),
    "explorer": lambda: create_explorer(MagicMock()),
    "sequencer": lambda: create_sequencer(MagicMock(), hold=0, control=True),
}


@cache
def document(service: str) -> dict[str, Any]:
    """A service's OpenAPI document."""
    described: dict[str, Any] = CREATE[service]().test_client().get(URL).get_json()
    return described


def operations(service: str) -> dict[str, dict[str, Any]]:
    """By `METHOD /path`: what the document says about it, in the order of the paths."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document(service)["paths"].items()
        for method, operation in methods.items()
    }
