"""Descriptions of routes that are made when somebody asks for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


class Descriptions:
    """What is still to be described, in order.

    Describing takes half of the processor time in which a service starts, and few documents are
    ever read.
    """

    def __init__(self) -> None:
        self._waiting: list[Callable[[], object]] = []

    def add(self, describe: Callable[..., object], *args: Any, **options: Any) -> None:
        """Make one more description later, by calling `describe`."""
        self._waiting.append(partial(describe, *args, **options))

    def make(self) -> None:
        """Make those that wait. No two threads may call this at the same time."""
        for describe in self._waiting:
            describe()
        self._waiting.clear()
