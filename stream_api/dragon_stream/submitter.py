"""Announces closed windows and submits proven ones to the aggregators."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Final

from prometheus_client import Counter

from dragon.errors import PeerError
from dragon.net.submission_client import WindowStatus
from dragon_stream.awaited_windows import AwaitedWindows
from dragon_stream.confirmation import MAX_LOOKAHEAD
from dragon_stream.events import Events
from dragon_stream.keyed_executor import RETRY_SECONDS, KeyedExecutor
from dragon_stream.store import Store, WindowRow
from dragon_stream.streams import Stream
from dragon_stream.submission import (
    Aggregators,
    BusyWindows,
    LastVotes,
    announcement,
    is_busy,
    submission,
)
from dragon_stream.unfinished_windows import WindowSummary
from dragon_stream.window_state import WindowState

SUBMITTING_THREADS: Final = 8  # concurrent requests to aggregators
POLL_SECONDS: Final = 0.5  # time between two submissions of a stream's next window
# The same once it is certified: the aggregator has stored that, and the log will tell the rest.
CERTIFIED_POLL_SECONDS: Final = 3.0
# Between two submissions of each window after the next one, in case the aggregator was restarted.
RESEND_SECONDS: Final = 5.0


class Submitter:
    """Submits each stream's proven windows in order, again and again until they are certified."""

    def __init__(
        self,
        store: Store,
        aggregators: Aggregators,
        events: Events,
        *,
        jobs: KeyedExecutor,
        pool: Executor,
        counter: Counter,
        monotonic: Callable[[], float],
        needed_votes: Callable[[], int],
    ) -> None:
        """`needed_votes`: how many operators must vote alike for a certificate."""
        self.busy = BusyWindows(needed_votes, monotonic)
        self.votes = LastVotes()
        self.awaited = AwaitedWindows(monotonic)
        self.last_error = ""  # of the last request; empty after a success
        self._store = store
        self._aggregators = aggregators
        self._events = events
        self._jobs = jobs
        self._pool = pool
        self._counter = counter

    def announce(self, stream: Stream, number: int) -> None:
        """Start to announce a closed window."""
        self._start((stream.id, "announce", number), partial(self._announce, stream, number))

    def submit(self, stream: Stream) -> None:
        """Start to submit the stream's proven windows."""
        self._start((stream.id, "submit"), partial(self._submit, stream))

    def finish(self, stream: Stream, row: WindowRow) -> None:
        """Start to ask for the final votes on a window that the log now contains."""
        self.awaited.remove(stream.id, row.number)
        self.busy.remove(stream.id)
        steps = ("submitted", "prove", "announce")
        self._jobs.forget((stream.id, step, row.number) for step in steps)
        self._start((stream.id, "votes", row.number), partial(self._ask_votes, stream, row))

    def _start(self, key: tuple[object, ...], job: Callable[[], float]) -> None:
        self._jobs.start(key, self._pool, job)

    def _announce(self, stream: Stream, number: int) -> float:
        """Announcing is optional: operators also learn the header with the proof."""
        row = self._store.window(stream.id, number)
        if row is None or row.state is not WindowState.CLOSED:
            return 0.0
        try:
            self._aggregators.submit(announcement(stream.keys, row))
        except PeerError as error:
            self.last_error = "" if is_busy(error) else str(error)
            return 0.0
        self._events.publish(stream.id, "announced", window=number)
        return 0.0

    def _submit(self, stream: Stream) -> float:
        """Submit proven windows up to the first one without a proof."""
        for place, summary in enumerate(self._store.unfinished(stream.id, MAX_LOOKAHEAD)):
            if summary.state is not WindowState.PROVEN:
                break
            key = (stream.id, "submitted", summary.number)
            if self._jobs.is_delayed(key):
                continue
            if pause := self._submit_one(stream, summary, is_next=not place):
                return pause
            self._jobs.delay(key, self._pause(stream, summary, is_next=not place))
        return POLL_SECONDS

    def _pause(self, stream: Stream, summary: WindowSummary, *, is_next: bool) -> float:
        """Return the seconds until a window that was accepted is submitted again."""
        if not is_next:
            return RESEND_SECONDS
        is_certified = self.awaited.contains(stream.id, summary.number)
        return CERTIFIED_POLL_SECONDS if is_certified else POLL_SECONDS

    def _submit_one(self, stream: Stream, summary: WindowSummary, *, is_next: bool) -> float:
        """Submit a window. Return the seconds to wait after a failure, or 0.

        `is_next`: the log needs this window next, so its answers tell why the stream waits.
        """
        number = summary.number
        row = self._store.window(stream.id, number)
        if row is None or row.proof is None:
            return RETRY_SECONDS
        try:
            submitted = submission(stream.keys, row, row.proof)
            status = self._aggregators.submit(submitted, (row.chunks, row.proof))
        except PeerError as error:
            self._counter.labels("submit", error.name).inc()
            self.last_error = "" if is_busy(error) else str(error)
            pause = self.busy.refused(stream.id, number, error)
            self._publish_busy(stream, number)
            return pause
        self.last_error = ""
        self._counter.labels("submit", "done").inc()
        self._note_awaited(stream, number, status)
        self._update_votes(stream, number, status)
        if is_next and self.busy.accepted(stream.id, number, status):
            self._publish_busy(stream, number)
        return 0.0

    def _publish_busy(self, stream: Stream, number: int) -> None:
        if reason := self.busy.reason(stream.id):
            self._events.publish(stream.id, "busy", window=number, detail=reason)

    def _note_awaited(self, stream: Stream, number: int, status: WindowStatus) -> None:
        """Note whether the window waits for the ledger; the log may have it in the meantime."""
        self.awaited.update(stream.id, number, is_certified=status.state == "certified")
        row = self._store.window(stream.id, number)
        if row is None or row.state is not WindowState.PROVEN:
            self.awaited.remove(stream.id, number)

    def _ask_votes(self, stream: Stream, row: WindowRow) -> float:
        """Aggregators remember the votes on a certified window for a while."""
        try:
            status = self._aggregators.submit(announcement(stream.keys, row))
        except PeerError:
            return 0.0
        self._update_votes(stream, row.number, status)
        return 0.0

    def _update_votes(self, stream: Stream, number: int, status: WindowStatus) -> None:
        if self.votes.update(stream.id, number, status.votes):
            facts = {"state": status.state, "votes": list(status.votes)}
            self._events.publish(stream.id, "votes", window=number, **facts)
