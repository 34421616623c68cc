"""Announcements of known streams, which are passed on only if the objects do not follow soon.

An announcement costs every operator a request. The request for its vote carries the header again,
and mostly comes within a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from dragon.protocol.streams.submission import Submission

ANNOUNCE_AFTER_SECONDS: Final = 2.0  # without the names of the window's objects


class PostponedAnnouncements:
    """The announcements that wait, at most one for each window. Any thread may use it."""

    def __init__(
        self, announce: Callable[[Submission], None], monotonic: Callable[[], float]
    ) -> None:
        """Create an empty table.

        Args:
            announce: passes an announcement on, without waiting.
            monotonic: returns seconds.
        """
        self._announce, self._monotonic = announce, monotonic
        self._lock = threading.Lock()  # guards the next line
        self._waiting: dict[tuple[bytes, int], tuple[float, Submission]] = {}  # oldest first

    def add(self, submission: Submission) -> None:
        """Pass this announcement on later; another one of the same window is replaced."""
        place = submission.stream, submission.number
        due = self._monotonic() + ANNOUNCE_AFTER_SECONDS
        with self._lock:
            self._waiting.pop(place, None)
            self._waiting[place] = due, submission

    def cancel(self, submission: Submission) -> None:
        """Forget the announcement of a window: its vote is near."""
        with self._lock:
            self._waiting.pop((submission.stream, submission.number), None)

    def send_due(self) -> None:
        """Pass on what has waited for long enough."""
        now, due = self._monotonic(), []
        with self._lock:
            for place, (at, submission) in list(self._waiting.items()):
                if at > now:
                    break
                due.append(submission)
                del self._waiting[place]
        for submission in due:
            self._announce(submission)
