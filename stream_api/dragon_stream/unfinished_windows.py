"""The unfinished windows of each stream, in memory: the pipeline looks at them ten times a second.

SQLite would read all of a window's row for each look, with its proof and its chunk headers. The
database remains what counts: this follows each change after it is on disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

from dragon_stream.window_state import WindowState


@dataclass(frozen=True, slots=True)
class WindowSummary:
    """A window without its large fields."""

    number: int
    state: WindowState
    first: int
    count: int
    closed_ms: int
    position: int | None


class UnfinishedWindows:
    """The closed and the proven windows of each stream, in order. Several threads may use it."""

    def __init__(self, read: Callable[[bytes], Sequence[WindowSummary]]) -> None:
        """`read` reads the unfinished windows of a stream from the database."""
        self._read = read
        self._changing = threading.RLock()  # while the database and this object change
        self._lock = threading.Lock()  # guards the next line
        self._streams: dict[bytes, dict[int, WindowSummary]] = {}  # by number

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One change at a time, so that they follow the order of the database."""
        with self._changing:
            yield

    def first(self, stream: bytes, limit: int) -> list[WindowSummary]:
        """The first windows of a stream. Raises what `read` raises."""
        windows = self._of(stream)
        with self._lock:
            return list(islice(windows.values(), limit))

    def count(self, stream: bytes) -> int:
        """The number of windows of a stream. Raises what `read` raises."""
        windows = self._of(stream)
        with self._lock:
            return len(windows)

    def closed(self, stream: bytes, window: WindowSummary) -> None:
        """Add the stream's newest window."""
        with self._lock:
            if (windows := self._streams.get(stream)) is not None:
                windows[window.number] = window

    def proven(self, stream: bytes, number: int) -> None:
        """Note that the database has a proof of a window."""
        with self._lock:
            windows = self._streams.get(stream, {})
            if (window := windows.get(number)) is not None:
                windows[number] = replace(window, state=WindowState.PROVEN)

    def finished(self, stream: bytes, number: int) -> None:
        """Remove a window."""
        with self._lock:
            self._streams.get(stream, {}).pop(number, None)

    def forget(self, stream: bytes) -> None:
        """Read the windows of a stream again."""
        with self._lock:
            self._streams.pop(stream, None)

    def _of(self, stream: bytes) -> dict[int, WindowSummary]:
        if (known := self._known(stream)) is not None:
            return known
        with self._changing:  # no change is missed in between
            if (known := self._known(stream)) is None:
                known = {window.number: window for window in self._read(stream)}
                with self._lock:
                    self._streams[stream] = known
            return known

    def _known(self, stream: bytes) -> dict[int, WindowSummary] | None:
        with self._lock:
            return self._streams.get(stream)
