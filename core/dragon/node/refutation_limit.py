"""Limits how many invalid windows of new streams are certified.

Each certificate is an entry of the log for ever, and every service keeps the stream in memory.
Anyone can create streams and submit false proofs, which cost nothing to make. So all new streams
(`KnownStreams`) share a limit. Beyond it, an invalid window is treated as before, except that it is
not certified: its stream waits, and loses its place if others want it. Known streams have no such
limit: the log records `MAX_REFUTED` invalid proofs between two valid windows of a stream.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_ADMITTED_KEPT: Final = 1024  # admitted windows that are not charged again


@dataclass(frozen=True, slots=True)
class RefutationRate:
    """Invalid windows of new streams that may be certified: at once, and in the long run."""

    capacity: int
    seconds_each: float


# A day gives at most 1,440 entries of about 2 KB. An operator admits more than an aggregator
# proposes, so that an aggregator seldom waits for operators that refuse.
AGGREGATOR_RATE: Final = RefutationRate(capacity=32, seconds_each=60.0)
OPERATOR_RATE: Final = RefutationRate(capacity=64, seconds_each=30.0)


class RefutationLimit:
    """A token bucket for all new streams. A window is charged once."""

    def __init__(
        self,
        rate: RefutationRate,
        is_known: Callable[[bytes], bool],
        monotonic: Callable[[], float],
    ) -> None:
        """`is_known`: whether a stream is known, by its id. `monotonic` returns seconds."""
        self._rate = rate
        self._is_known = is_known
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards everything below
        self._tokens = float(rate.capacity)
        self._refilled_at = monotonic()  # seconds
        self._admitted: OrderedDict[tuple[bytes, int, bytes], None] = OrderedDict()  # newest last

    def admits(self, stream: bytes, number: int, proof: bytes) -> bool:
        """Return whether this invalid window may be certified, and charge it.

        `proof`: the SHA-256 of the proof that was found false.
        """
        if self._is_known(stream):
            return True
        window = (stream, number, proof)
        with self._lock:
            if window in self._admitted:
                return True
            now = self._monotonic()
            gained = (now - self._refilled_at) / self._rate.seconds_each
            self._tokens = min(float(self._rate.capacity), self._tokens + gained)
            self._refilled_at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            self._admitted[window] = None
            if len(self._admitted) > MAX_ADMITTED_KEPT:
                self._admitted.popitem(last=False)
            return True
