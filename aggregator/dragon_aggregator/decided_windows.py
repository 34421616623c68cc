"""The last windows that are decided, with their votes: certified as valid or as invalid.

A certificate names its signers. Only the votes tell who refused, why, and who was silent. They are
kept in memory, for display only.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Final

from dragon_aggregator.pending_windows import Window

MAX_DECIDED_WINDOWS: Final = 1024  # decided windows whose votes can still be shown


@dataclass(frozen=True, slots=True)
class Decided:
    """A decided window. Ids grow in the order of decisions, from 1 at each start."""

    id: int
    window: Window


class DecidedWindows:
    """The newest decided windows. Any thread may use it.

    Beyond the maximum, the stream with the most windows loses its oldest one. So a stream displaces
    only its own windows, or those of a stream that has more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the next three lines
        self._last_id = 0
        self._decided: dict[tuple[bytes, bytes], Decided] = {}  # oldest first, by header and proof
        self._counts: Counter[bytes] = Counter()  # windows by stream

    def add(self, window: Window) -> None:
        """Keep a window that the log contains (state `applied`), or that is invalid.

        A window without votes is not kept: another aggregator has them.
        """
        key = _key(window)
        with self._lock:
            if key in self._decided or not window.votes:
                return
            self._last_id += 1
            self._decided[key] = Decided(self._last_id, window)
            self._counts[window.submission.stream] += 1
            while len(self._decided) > MAX_DECIDED_WINDOWS:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Drop the oldest window of the stream with the most. Called with the lock held."""
        [(stream, _)] = self._counts.most_common(1)
        oldest = next(
            key for key, each in self._decided.items() if each.window.submission.stream == stream
        )
        del self._decided[oldest]
        self._counts[stream] -= 1
        if not self._counts[stream]:
            del self._counts[stream]

    def applied(self, header: bytes) -> Window | None:
        """A window that the log contains, by the hash of its header."""
        with self._lock:
            found = self._decided.get((header, b""))
        return found.window if found else None

    def newest_first(
        self, *, below: int, stream: bytes | None = None, number: int | None = None
    ) -> list[Decided]:
        """The windows with an id below `below`; only those of a stream or number if given."""
        with self._lock:
            kept = list(self._decided.values())
        return [
            each
            for each in reversed(kept)
            if each.id < below
            and stream in (None, each.window.submission.stream)
            and number in (None, each.window.submission.number)
        ]


def _key(window: Window) -> tuple[bytes, bytes]:
    """A header can be certified as valid once, and each of its proofs as invalid."""
    header, objects = window.submission.header, window.submission.objects
    if window.state == "applied" or objects is None:
        return header.hash, b""
    return header.hash, objects.proof
