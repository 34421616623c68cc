"""Damage of the file of the history that is met while the explorer runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dragon.errors import LogDamaged


class NotedDamage:
    """Why the file cannot be read or written. What is certified does not depend on it."""

    def __init__(self) -> None:
        self.reason = ""  # empty: no damage was met; otherwise pages show less

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Go on after damage that the block meets, and remember the reason."""
        try:
            yield
        except LogDamaged as error:
            self.reason = str(error)
