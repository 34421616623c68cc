"""Windows of streams that are submitted but not yet in the log."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from dragon import errors
from dragon.protocol.state import State
from dragon.protocol.streams.submission import Submission
from dragon_aggregator.vote_collector import Votes

MAX_STREAMS: Final = 64  # streams with pending windows; beyond, submissions are `busy`
MAX_APPLIED_WINDOWS: Final = 1024  # windows in the log whose votes can still be shown
IDLE_SECONDS: Final = 600.0  # after which a stream without submissions can be evicted


@dataclass(slots=True)
class Window:
    """One window of a stream. Its votes are each operator's last answer, for display only."""

    submission: Submission
    state: str = "announced"  # or incomplete, voting, waiting, certified, invalid, applied
    missing: tuple[bytes, ...] = ()  # SHA-256 of objects that are not stored yet
    votes: Votes = field(default_factory=dict)
    tried_at: float = float("-inf")  # of the last vote, monotonic seconds
    submitted_at: float = float("-inf")  # of the last submission, monotonic seconds


class PendingWindows:
    """Pending windows by stream and number, in memory: owners submit again after a restart."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards the next three lines
        self._streams: dict[bytes, dict[int, Window]] = {}
        self._in_progress: set[bytes] = set()  # streams that a thread is working on
        self._applied: OrderedDict[bytes, Window] = OrderedDict()  # newest last, by header

    def all(self) -> list[Window]:
        """Every window, by stream and then by number."""
        with self._lock:
            return [
                windows[number] for windows in self._streams.values() for number in sorted(windows)
            ]

    def get(self, stream: bytes, number: int) -> Window | None:
        with self._lock:
            return self._streams.get(stream, {}).get(number)

    def applied(self, header: bytes) -> Window | None:
        """A window in the log, by the hash of its header, if it is recent."""
        with self._lock:
            return self._applied.get(header)

    def reserve(self, stream: bytes) -> None:
        """Make room for a stream; evicts streams without recent submissions. Raises Busy."""
        now = self._monotonic()
        with self._lock:
            if stream in self._streams or len(self._streams) < MAX_STREAMS:
                return
            self._streams = {
                known: windows
                for known, windows in self._streams.items()
                if any(now - window.submitted_at < IDLE_SECONDS for window in windows.values())
            }
            if len(self._streams) >= MAX_STREAMS:
                raise errors.Busy(f"{MAX_STREAMS} streams have pending windows, the maximum")

    def add(self, window: Window) -> None:
        """Add a window. It replaces another one with that number."""
        submission = window.submission
        with self._lock:
            self._streams.setdefault(submission.stream, {})[submission.number] = window

    def begin(self) -> list[bytes]:
        """Return the streams that no thread is working on. The caller must `finish` each."""
        with self._lock:
            idle = [stream for stream in self._streams if stream not in self._in_progress]
            self._in_progress.update(idle)
        return idle

    def finish(self, stream: bytes) -> None:
        with self._lock:
            self._in_progress.discard(stream)

    def in_order(self, stream: bytes, number: int) -> Iterator[Window]:
        """The stream's windows from `number` on, up to the first gap."""
        while (window := self.get(stream, number)) is not None:
            yield window
            number += 1

    def drop_applied(self, state: State) -> list[bytes]:
        """Remove windows that are in the log. Return their streams."""
        with self._lock:
            pending = {
                stream: {n: w for n, w in windows.items() if n >= state.stream(stream).windows}
                for stream, windows in self._streams.items()
            }
            changed = [s for s, left in pending.items() if len(left) < len(self._streams[s])]
            for stream in changed:
                for number in self._streams[stream].keys() - pending[stream].keys():
                    self._keep_applied(self._streams[stream][number])
            self._streams = {stream: left for stream, left in pending.items() if left}
        return changed

    def _keep_applied(self, window: Window) -> None:
        """Keep the votes for owners who ask later. Called with the lock held."""
        window.state = "applied"
        self._applied[window.submission.header.hash] = window
        while len(self._applied) > MAX_APPLIED_WINDOWS:
            self._applied.popitem(last=False)
