"""When each event of the outbox is sent, and sent again.

All times are measured with the monotonic clock of this process. So an event is neither delayed nor
dropped when the wall clock is set, and a standstill of the ledger costs few repetitions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon_aggregator.outbox import Pending

RESEND_AFTER_SECONDS: Final = 10.0  # while the ledger grows; an event should be in the log by then
# Seconds from an attempt to the next one while the ledger does not grow, by number of attempts.
BACK_OFF_SECONDS: Final = (RESEND_AFTER_SECONDS, 30.0, 60.0, 120.0)


@dataclass(slots=True)
class _Timing:
    """Monotonic seconds of one event, in this process."""

    seen_at: float
    ready_at: float  # of the first attempt
    index: int  # of the last batch that was read at the last attempt
    sent_at: float | None = None  # of the last attempt; None before the first in this process
    accepted_at: float | None = None  # when a gateway first accepted it, at the latest
    failed_at: float | None = None  # when the first attempt began that no gateway accepted
    grown_at: float | None = None  # when the ledger had grown after the last attempt


class ResendSchedule:
    """Decides which events are sent now. One thread uses it."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        longest_wait: Callable[[], float],
    ) -> None:
        """`longest_wait`: seconds that this aggregator leaves to those of lower ranks."""
        self.monotonic = monotonic
        self.wall = wall
        self._longest_wait = longest_wait
        self._index = 0
        self._timings: dict[int, _Timing] = {}  # by row id

    def update(self, pending: Sequence[Pending], index: int) -> None:
        """Note the events that wait, and the last batch that was read."""
        now, self._index = self.monotonic(), index
        self._timings = {
            entry.id: self._timings.get(entry.id) or self._first_timing(entry, now)
            for entry in pending
        }
        for timing in self._timings.values():
            if timing.grown_at is None and index != timing.index:
                timing.grown_at = now

    def choose(self, pending: Sequence[Pending], *, caught_up: bool) -> list[Pending]:
        """Return the events to send now. `pending` is in the order of `ledger_order`.

        An event that is due takes along those that the log must apply before it, except those sent
        within the last `RESEND_AFTER_SECONDS`. While the ledger is not read to its end, nothing is
        sent again: it may be there already.
        """
        chosen = self._due(pending)
        return chosen if caught_up else _without_repetitions(chosen)

    def note_attempt(self, entries: Sequence[Pending], *, begun: float, accepted: bool) -> None:
        """Note that events were just sent. `accepted`: by a gateway, not by the ledger."""
        now = self.monotonic()
        for entry in entries:
            timing = self._timings[entry.id]
            timing.sent_at, timing.index, timing.grown_at = now, self._index, None
            if accepted and timing.accepted_at is None:
                timing.accepted_at = now
        if not accepted:
            self.note_failure(entries, begun=begun)

    def note_failure(self, entries: Sequence[Pending], *, begun: float) -> None:
        """Note that no gateway has accepted events. `begun`: when the attempt did, monotonic."""
        for entry in entries:
            timing = self._timings[entry.id]
            if timing.failed_at is None:
                timing.failed_at = begun

    def oldest_at(self) -> float | None:
        """When the oldest event that waits was first seen, in monotonic seconds."""
        return min((timing.seen_at for timing in self._timings.values()), default=None)

    def accepted_at(self, entries: Sequence[Pending]) -> list[float]:
        """When gateways accepted those of the events that they accepted, in monotonic seconds."""
        times = (self._timings[entry.id].accepted_at for entry in entries)
        return [at for at in times if at is not None]

    def failed_at(self) -> list[float]:
        """When the attempts began to send the events that no gateway has accepted (monotonic)."""
        waiting = (timing for timing in self._timings.values() if timing.accepted_at is None)
        return [timing.failed_at for timing in waiting if timing.failed_at is not None]

    def _first_timing(self, entry: Pending, now: float) -> _Timing:
        """A process that starts cannot know when an event was sent; it waits as if just now."""
        if entry.sends:
            return _Timing(now, now, self._index, accepted_at=now)
        wait = min(max(0.0, entry.not_before - self.wall()), self._longest_wait())
        return _Timing(now, now + wait, self._index)

    def _due(self, pending: Sequence[Pending]) -> list[Pending]:
        chosen: list[Pending] = []
        keys: set[str] = set()  # ordering keys of chosen events
        checkpoint = False  # whether one is chosen
        for entry in reversed(pending):
            precedes = checkpoint or entry.key in keys
            if self._is_due(entry) or (precedes and self._may_be_lost(entry)):
                chosen.append(entry)
                keys.add(entry.key)
                checkpoint |= _is_checkpoint(entry)
        return chosen[::-1]

    def _is_due(self, entry: Pending) -> bool:
        timing, now = self._timings[entry.id], self.monotonic()
        if not entry.sends:
            return now >= timing.ready_at
        if timing.sent_at is None:
            due_at = timing.seen_at + RESEND_AFTER_SECONDS
        else:
            due_at = timing.sent_at + BACK_OFF_SECONDS[min(entry.sends, len(BACK_OFF_SECONDS)) - 1]
        if timing.grown_at is not None:
            due_at = min(due_at, timing.grown_at + RESEND_AFTER_SECONDS)
        return now >= due_at

    def _may_be_lost(self, entry: Pending) -> bool:
        """Whether the last attempt was so long ago that the event should be in the log."""
        sent_at = self._timings[entry.id].sent_at
        if sent_at is None:
            return entry.sends > 0
        return self.monotonic() - sent_at >= RESEND_AFTER_SECONDS


def _without_repetitions(chosen: Sequence[Pending]) -> list[Pending]:
    """The events that were never sent, without those that would overtake a repetition."""
    first: list[Pending] = []
    held: set[str] = set()  # ordering keys with an event that waits
    for entry in chosen:
        if entry.sends or entry.key in held or (held and _is_checkpoint(entry)):
            held.add(entry.key)
        else:
            first.append(entry)
    return first


def _is_checkpoint(entry: Pending) -> bool:
    return isinstance(entry.event.claim, CheckpointClaim)
