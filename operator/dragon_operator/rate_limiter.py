"""Limits how many streams an operator verifies, and how many windows of each per second.

Anyone can create a stream, and verifying its windows costs work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final, NoReturn

from dragon.encoding import to_hex
from dragon.errors import AttestationRefused
from dragon.protocol.refusal import RefusalReason

CAPACITY: Final = 120  # tokens of a full bucket: the windows that a stream may catch up with
COST: Final = 0.5  # tokens per message; a window takes two: announcement, then objects
DEDUP_SIZE: Final = 4 * CAPACITY  # newest messages of a stream that are not charged again
IDLE_SECONDS: Final = 3600.0  # after which a stream without new messages can be evicted


@dataclass(slots=True)
class _Bucket:
    """A token bucket of one stream."""

    tokens: float
    refilled_at: float  # monotonic seconds
    charged: dict[bytes, None] = field(default_factory=dict)  # message ids, oldest first

    def charge(self, message: bytes) -> None:
        self.tokens -= COST
        self.charged[message] = None
        if len(self.charged) > DEDUP_SIZE:
            del self.charged[next(iter(self.charged))]


class RateLimiter:
    """One token bucket per stream.

    Only messages that the stream has signed are charged, and each only once. So nobody else can
    use up a stream's tokens, not even by repeating its messages.
    """

    def __init__(
        self,
        max_streams: int,
        windows_per_second: float,
        listed: Collection[bytes] | None,
        monotonic: Callable[[], float],
    ) -> None:
        """Create a limiter; `listed` names the only accepted streams (None: all of them)."""
        self._max_streams = max_streams
        self._windows_per_second = windows_per_second
        self._listed = listed
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards the next line
        self._buckets: dict[bytes, _Bucket] = {}

    def check_listed(self, stream: bytes) -> None:
        """Refuse a stream that is not listed. Call this before any work is done for the stream.

        Raises AttestationRefused: `busy`.
        """
        if self._listed is not None and stream not in self._listed:
            _refuse(f"this operator verifies listed streams only; {to_hex(stream)} is not listed")

    def take(self, stream: bytes, message: bytes) -> None:
        """Charge one message, identified by `message`, unless it was charged before.

        Raises AttestationRefused: `busy`.
        """
        with self._lock:
            now = self._monotonic()
            bucket = self._buckets.get(stream) or self._admit(stream, now)
            gained = (now - bucket.refilled_at) * self._windows_per_second
            bucket.tokens = min(float(CAPACITY), bucket.tokens + gained)
            bucket.refilled_at = now
            if message in bucket.charged:
                return
            if bucket.tokens < COST:
                _refuse(f"this stream exceeds {self._windows_per_second} windows per second")
            bucket.charge(message)

    def _admit(self, stream: bytes, now: float) -> _Bucket:
        if len(self._buckets) >= self._max_streams:
            self._buckets = {
                known: bucket
                for known, bucket in self._buckets.items()
                if now - bucket.refilled_at < IDLE_SECONDS
            }
        if len(self._buckets) >= self._max_streams:
            _refuse(f"this operator already verifies {self._max_streams} streams, its maximum")
        return self._buckets.setdefault(stream, _Bucket(float(CAPACITY), now))


def _refuse(message: str) -> NoReturn:
    raise AttestationRefused(RefusalReason.BUSY, message)
