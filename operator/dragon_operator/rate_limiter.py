"""Limits how many streams an operator verifies, and how many windows of each per second.

Anyone can create a stream, and verifying its windows costs work. New streams (`KnownStreams`)
therefore have places of their own, and share a limit for announcements.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn

from dragon.errors import AttestationRefused
from dragon.protocol.refusal import RefusalReason

CAPACITY: Final = 120  # tokens of a full bucket: the windows that a stream may catch up with
COST: Final = 0.5  # tokens per message; a window takes two: announcement, then objects
DEDUP_SIZE: Final = 4 * CAPACITY  # newest messages of a stream that are not charged again
IDLE_SECONDS: Final = 60.0  # after which a known stream without new messages can be replaced
MAX_NEW_STREAMS: Final = 64  # new streams with a bucket; beyond, the oldest is replaced
NEW_ANNOUNCEMENTS_PER_SECOND: Final = 8.0  # of all new streams together
NEW_ANNOUNCEMENTS_CAPACITY: Final = 64.0  # announcements that new streams may send at once


@dataclass(slots=True)
class _Bucket:
    """A token bucket."""

    tokens: float
    refilled_at: float  # monotonic seconds
    charged_at: float  # monotonic seconds
    charged: dict[bytes, None] = field(default_factory=dict)  # message ids, oldest first

    def refill(self, per_second: float, capacity: float, now: float) -> None:
        self.tokens = min(capacity, self.tokens + (now - self.refilled_at) * per_second)
        self.refilled_at = now

    def charge(self, message: bytes, now: float) -> None:
        self.tokens -= COST
        self.charged_at = now
        self.charged[message] = None
        if len(self.charged) > DEDUP_SIZE:
            del self.charged[next(iter(self.charged))]


class RateLimiter:
    """One token bucket per stream.

    Only messages that the stream has signed are charged, and each only once. So nobody else can
    use up a stream's tokens, not even by repeating its messages, which renew no place either.
    """

    def __init__(
        self,
        max_streams: int,
        windows_per_second: float,
        is_known: Callable[[bytes], bool],
        monotonic: Callable[[], float],
    ) -> None:
        """Create a limiter.

        Args:
            max_streams: known streams with a place.
            windows_per_second: of each stream.
            is_known: whether a stream is known, by its id.
            monotonic: returns seconds.
        """
        self._max_streams = max_streams
        self._windows_per_second = windows_per_second
        self._is_known = is_known
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards everything below
        self._known: OrderedDict[bytes, _Bucket] = OrderedDict()  # last charged last
        self._new: OrderedDict[bytes, _Bucket] = OrderedDict()  # last charged last
        self._announcements = _Bucket(NEW_ANNOUNCEMENTS_CAPACITY, monotonic(), monotonic())

    def announce(self, stream: bytes, message: bytes) -> None:
        """Charge an announcement like `take`. All new streams share a further limit.

        Raises AttestationRefused: `busy`.
        """
        if not self._is_known(stream):
            with self._lock:
                shared, now = self._announcements, self._monotonic()
                shared.refill(NEW_ANNOUNCEMENTS_PER_SECOND, NEW_ANNOUNCEMENTS_CAPACITY, now)
                if shared.tokens < 1:
                    _refuse("streams without a certified window announce too many windows")
                shared.tokens -= 1
        self.take(stream, message)

    def take(self, stream: bytes, message: bytes) -> None:
        """Charge one message, identified by `message`, unless it was charged before.

        Raises AttestationRefused: `busy`.
        """
        known = self._is_known(stream)
        with self._lock:
            now = self._monotonic()
            buckets = self._known if known else self._new
            bucket = buckets.get(stream) or self._admit(stream, now, known=known)
            bucket.refill(self._windows_per_second, float(CAPACITY), now)
            if message in bucket.charged:
                return
            if bucket.tokens < COST:
                _refuse(f"this stream exceeds {self._windows_per_second} windows per second")
            bucket.charge(message, now)
            buckets.move_to_end(stream)

    def _admit(self, stream: bytes, now: float, *, known: bool) -> _Bucket:
        buckets, most = (self._known, self._max_streams) if known else (self._new, MAX_NEW_STREAMS)
        if len(buckets) >= most:
            oldest = next(iter(buckets))
            if known and now - buckets[oldest].charged_at < IDLE_SECONDS:
                _refuse(f"this operator already verifies {most} streams, its maximum")
            del buckets[oldest]
        bucket = buckets[stream] = _Bucket(float(CAPACITY), now, now)
        return bucket


def _refuse(message: str) -> NoReturn:
    raise AttestationRefused(RefusalReason.BUSY, message)
