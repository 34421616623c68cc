"""Windows that are certified but not in the log: the ledger has not made them final yet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

LATE_SECONDS: Final = 30.0  # after which a certified window should be in the log


class AwaitedWindows:
    """Measures how long certified windows have waited for the ledger."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards the next two lines
        self._since: dict[bytes, dict[int, float]] = {}  # by stream and number
        self._finalized_at = float("-inf")  # when the log last contained one of them

    def update(self, stream: bytes, number: int, *, is_certified: bool) -> None:
        """Note whether an aggregator has the certificate of a window that is not in the log."""
        with self._lock:
            if is_certified:
                self._since.setdefault(stream, {}).setdefault(number, self._monotonic())
            else:
                self._pop(stream, number)

    def remove(self, stream: bytes, number: int) -> None:
        """Note that the log contains a window."""
        with self._lock:
            if self._pop(stream, number):
                self._finalized_at = self._monotonic()

    def _pop(self, stream: bytes, number: int) -> bool:
        """Forget a window. Return whether it was known."""
        return self._since.get(stream, {}).pop(number, None) is not None

    def contains(self, stream: bytes, number: int) -> bool:
        """Whether a window is certified, and the log is not known to contain it."""
        with self._lock:
            return number in self._since.get(stream, ())

    def count(self, stream: bytes) -> int:
        """The number of windows of a stream that are certified and not known to be in the log.

        Takes the same time however many there are: the pipeline asks for every stream.
        """
        with self._lock:
            return len(self._since.get(stream, ()))

    @property
    def seconds(self) -> float:
        """Seconds since some wait and none came into the log; 0 if none waits."""
        return self._backlog()[1]

    @property
    def late(self) -> str:
        """Why the ledger is not reliable now; empty if windows become final in time."""
        count, seconds = self._backlog()
        if seconds <= LATE_SECONDS:
            return ""
        windows = "1 window" if count == 1 else f"{count} windows"
        return f"{windows} certified, none finalized for {seconds:.0f} s"

    def _backlog(self) -> tuple[int, float]:
        """How many windows wait, and for how many seconds none came into the log."""
        with self._lock:
            times = [each for windows in self._since.values() for each in windows.values()]
            count = len(times)
            since = max(min(times, default=0.0), self._finalized_at)
        return count, self._monotonic() - since if count else 0.0
