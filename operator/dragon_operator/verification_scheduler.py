"""Decides whose window is verified now, and charges its stream for the processor time.

Anyone can create streams, so all new streams share a few slots and one small budget, and wait for
known ones (`KnownStreams`). A stream whose window was found invalid waits before its next one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NoReturn

from prometheus_client import Histogram

from dragon.errors import AttestationRefused
from dragon.node.penalties import Penalties
from dragon.protocol.refusal import RefusalReason
from dragon_operator.concurrency_limiter import ConcurrencyLimiter

MAX_CONCURRENT_VERIFICATIONS: Final = 8  # beyond, windows are `busy`
MAX_CONCURRENT_PER_STREAM: Final = 2  # concurrent verifications of one stream
MAX_CONCURRENT_NEW: Final = 2  # concurrent verifications of all new streams, of each at most one
STREAM_BUDGET: Final = 0.5  # processor seconds per second, of one known stream
STREAM_CAPACITY: Final = 10.0  # processor seconds that it can save up
NEW_BUDGET: Final = 0.1  # processor seconds per second, of all new streams together
NEW_CAPACITY: Final = 2.0  # processor seconds that they can save up
YIELD_SECONDS: Final = 1.0  # new streams wait after a known stream found no slot
_BUCKETS_SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
MAX_ACCOUNTS: Final = 1024  # known streams with a budget; beyond, the last used is forgotten


@dataclass(slots=True)
class _Account:
    """Processor time that may be used; below 0 after a window that cost more."""

    seconds: float
    refilled_at: float  # monotonic seconds

    def refill(self, per_second: float, capacity: float, now: float) -> float:
        """Add what was gained since. Return the processor seconds that are left."""
        self.seconds = min(capacity, self.seconds + per_second * (now - self.refilled_at))
        self.refilled_at = now
        return self.seconds


class VerificationScheduler:
    """Slots, budgets and penalties of streams. All its state is bounded and in memory."""

    def __init__(
        self,
        is_known: Callable[[bytes], bool],
        *,
        monotonic: Callable[[], float],
        processor: Callable[[], float],
        workers: int = 0,
    ) -> None:
        """Create a scheduler.

        Args:
            is_known: whether a stream is known, by its id.
            monotonic: returns seconds.
            processor: returns the processor seconds that the calling thread has used.
            workers: processes that verify windows. New streams never occupy the last of them.
        """
        self._is_known = is_known
        self._monotonic = monotonic
        self._processor = processor
        # New streams have slots of their own, so they never occupy one of a known stream.
        most, new = max(MAX_CONCURRENT_VERIFICATIONS, workers), MAX_CONCURRENT_NEW
        self._slots = ConcurrencyLimiter(most, MAX_CONCURRENT_PER_STREAM)
        self._new_slots = ConcurrencyLimiter(min(new, workers - 1) if workers > 1 else new, 1)
        self._penalties = Penalties(is_known, monotonic)
        self._lock = threading.Lock()  # guards everything below
        self._known: OrderedDict[bytes, _Account] = OrderedDict()  # last used last
        self._all_new = _Account(NEW_CAPACITY, monotonic())
        self._yield_until = float("-inf")  # for new streams, monotonic seconds
        self.seconds = Histogram(
            "datadragon_window_verification_seconds",
            "Processor seconds for the verification of one window and its proof.",
            buckets=_BUCKETS_SECONDS,
            registry=None,
        )
        self.new_seconds = 0.0  # processor seconds of new streams, for metrics
        self.known_seconds = 0.0  # processor seconds of known streams, for metrics

    def check(self, stream: bytes) -> None:
        """Refuse a stream that must wait. Call this before any work is done for its window.

        Raises AttestationRefused: `busy`.
        """
        if (left := self._penalties.left(stream)) > 0:
            _refuse(f"the stream's last window was invalid; it has to wait for {left:.1f} s")
        known, now = self._is_known(stream), self._monotonic()
        with self._lock:
            if known:
                left = self._account(stream, now).refill(STREAM_BUDGET, STREAM_CAPACITY, now)
                if left <= 0:
                    _refuse("the stream has used up its processor time")
            elif now < self._yield_until:
                _refuse("the windows of certified streams are verified first")
            elif self._all_new.refill(NEW_BUDGET, NEW_CAPACITY, now) <= 0:
                _refuse("streams without a certified window have used up their processor time")

    @contextmanager
    def turn(self, stream: bytes) -> Iterator[Callable[[float], None]]:
        """Verify during a `with` block, which is charged.

        The block is given a function that charges processor seconds which another process has used.

        Raises AttestationRefused: `busy`.
        """
        self.check(stream)
        with self.hold(stream):
            begun, elsewhere = self._processor(), list[float]()
            try:
                yield elsewhere.append
            finally:
                self._charge(stream, self._processor() - begun + sum(elsewhere))

    @contextmanager
    def hold(self, stream: bytes) -> Iterator[None]:
        """Hold a slot during a `with` block. Raises AttestationRefused: `busy`."""
        slots = self._new_slots
        if self._is_known(stream):
            slots = self._slots
            if slots.is_full():
                with self._lock:
                    self._yield_until = self._monotonic() + YIELD_SECONDS
        with slots.hold(stream.hex()):
            yield

    def note(self, stream: bytes, *, valid: bool) -> None:
        """Note a verdict. A stream with an invalid window waits before its next one."""
        self._penalties.note(stream, valid=valid)

    def _account(self, stream: bytes, now: float) -> _Account:
        account = self._known.setdefault(stream, _Account(STREAM_CAPACITY, now))
        self._known.move_to_end(stream)
        if len(self._known) > MAX_ACCOUNTS:
            self._known.popitem(last=False)
        return account

    def _charge(self, stream: bytes, used: float) -> None:
        self.seconds.observe(used)
        with self._lock:
            if self._is_known(stream):
                self._account(stream, self._monotonic()).seconds -= used
                self.known_seconds += used
            else:
                self._all_new.seconds -= used
                self.new_seconds += used


def _refuse(message: str) -> NoReturn:
    raise AttestationRefused(RefusalReason.BUSY, message)
