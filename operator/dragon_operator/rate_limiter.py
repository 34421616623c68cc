"""Which streams are looked at, and how fast: anybody can make a stream, and each costs work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final, NoReturn

from dragon.encoding import to_hex
from dragon.errors import AttestationRefused
from dragon.protocol.refusal import RefusalReason

BURST: Final = 120  # windows that a stream may catch up with at once
IDLE: Final = 3600.0  # seconds after which a stream makes room for another
HALF: Final = 0.5  # of a window: its announcement, and its objects; other ones are another half
KNOWN: Final = 4 * BURST  # of a stream's newest halves, which are not counted again


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float
    counted: dict[bytes, None] = field(default_factory=dict)  # oldest first

    def count(self, what: bytes) -> None:
        self.left -= HALF
        self.counted[what] = None
        if len(self.counted) > KNOWN:
            del self.counted[next(iter(self.counted))]


class RateLimiter:
    """So many streams, and of each so many new windows a second. Only the stream's own word is
    counted, and once, so nobody else can use up what it may send: not by repeating it either."""

    def __init__(
        self,
        most: int,
        per_second: float,
        listed: Collection[bytes] | None,
        monotonic: Callable[[], float],
    ) -> None:
        """`listed`: the only streams that are looked at; None: any, up to `most`."""
        self._most = most
        self._per_second = per_second
        self._listed = listed
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards the next line
        self._buckets: dict[bytes, _Bucket] = {}

    def check_listed(self, stream: bytes) -> None:
        """Asked before anything that costs work. Raises AttestationRefused: `busy`."""
        if self._listed is not None and stream not in self._listed:
            _refuse(f"this operator looks at listed streams only, not at {to_hex(stream)}")

    def take(self, stream: bytes, what: bytes) -> None:
        """Half of a window, known by `what`. Raises AttestationRefused: `busy`."""
        with self._lock:
            now = self._monotonic()
            bucket = self._buckets.get(stream) or self._admit(stream, now)
            gained = (now - bucket.at) * self._per_second
            bucket.left, bucket.at = min(float(BURST), bucket.left + gained), now
            if what in bucket.counted:
                return
            if bucket.left < HALF:
                _refuse("more windows of that stream than this operator looks at")
            bucket.count(what)

    def _admit(self, stream: bytes, now: float) -> _Bucket:
        if len(self._buckets) >= self._most:
            self._buckets = {s: b for s, b in self._buckets.items() if now - b.at < IDLE}
        if len(self._buckets) >= self._most:
            _refuse(f"this operator looks at {self._most} streams already")
        return self._buckets.setdefault(stream, _Bucket(float(BURST), now))


def _refuse(message: str) -> NoReturn:
    raise AttestationRefused(RefusalReason.BUSY, message)
