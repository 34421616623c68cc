"""Limits concurrent work, so that requests about one subject cannot starve all others."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from dragon.errors import AttestationRefused
from dragon.protocol.refusal import RefusalReason


class ConcurrencyLimiter:
    """At most `most` operations at a time, and at most `most_per_subject` about one subject."""

    def __init__(self, most: int, most_per_subject: int) -> None:
        self._most = most
        self._most_per_subject = most_per_subject
        self._lock = threading.Lock()  # guards the next line
        self._running: Counter[str] = Counter()  # by subject

    def is_full(self) -> bool:
        """Return whether all slots are taken."""
        with self._lock:
            return self._running.total() >= self._most

    @contextmanager
    def hold(self, subject: str) -> Iterator[None]:
        """Hold a slot for `subject` during a `with` block. Raises AttestationRefused: `busy`."""
        self._acquire(subject)
        try:
            yield
        finally:
            with self._lock:
                self._running[subject] -= 1
                self._running += Counter()  # drops subjects whose count is zero

    def _acquire(self, subject: str) -> None:
        with self._lock:
            if self._running.total() >= self._most:
                raise _busy(f"{self._most} requests are in progress")
            if self._running[subject] >= self._most_per_subject:
                raise _busy(f"{self._most_per_subject} requests about this subject are in progress")
            self._running[subject] += 1


def _busy(message: str) -> AttestationRefused:
    return AttestationRefused(RefusalReason.BUSY, f"{message}, which is the maximum")
