"""Bounds on what is under way at once, so that questions about one node cannot starve the rest."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from dragon.errors import AttestationRefused
from dragon.protocol.refusal import RefusalReason


class ConcurrencyLimiter:
    """So many in all, and so many for each subject. A node that hangs holds its own only."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @contextmanager
    def hold(self, subject: str) -> Iterator[None]:
        """Raises AttestationRefused: `busy`."""
        with self._lock:
            full = self._taken.total() >= self._most or self._taken[subject] >= self._most_each
            if not full:
                self._taken[subject] += 1
        if full:
            raise AttestationRefused(
                RefusalReason.BUSY, "too much is under way, in all or about this one"
            )
        try:
            yield
        finally:
            with self._lock:
                self._taken[subject] -= 1
                self._taken += Counter()  # forget subjects that hold none
