"""Sends certified events to the ledger until they are in the log.

The sequencer's "accepted" is not durable. So an event stays in the outbox and is sent again until
the log has applied it or will never apply it. An event may be sent more than once; every log
applies it once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from dragon.encoding import Json
from dragon.errors import LedgerError, LedgerUnavailable, NotApplicable
from dragon.log.store import Log
from dragon.protocol.committee import Committee, Seated
from dragon.protocol.transition import check_applicable
from dragon_aggregator.outbox import Outbox, Pending, ledger_order
from dragon_aggregator.resend_schedule import BACK_OFF_SECONDS, ResendSchedule
from dragon_aggregator.settlement import settled

POLL_SECONDS: Final = 0.2  # between two looks into an outbox without additions
# Every batch costs each reader of the ledger a check, a request and a transaction, whatever its
# size. So the more was sent, the longer the next events are collected. Users wait meanwhile.
COLLECT_SECONDS_PER_EVENT: Final = 0.05
MAX_COLLECT_SECONDS: Final = 0.25
MAX_EVENTS_PER_REQUEST: Final = 64  # accepted events are recorded after each request
# Under an alarm the log shows no longer what it would apply, and an event that the other logs have
# must not be sent for ever.
MAX_SENDS_UNDER_ALARM: Final = len(BACK_OFF_SECONDS)
LATE_SECONDS: Final = 30.0  # after which an accepted event should be final

logger = structlog.stdlib.get_logger(__name__)


class Sender(Protocol):
    """The part of a sequencer client that sends."""

    def send(self, events: Sequence[dict[str, Json]]) -> None: ...


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the outbox."""

    accepted: int = 0  # events that a gateway accepted and that are not in the log
    unfinalized_seconds: float = 0.0  # since when some wait and none came into the log
    unaccepted: int = 0  # events that were sent and that no gateway accepted
    unaccepted_seconds: float = 0.0  # since when some wait and no gateway accepted any event
    oldest_seconds: float = 0.0  # how long the oldest event has waited, since the start at most

    @property
    def late(self) -> str:
        """Why the ledger is not reliable now; empty if events become final in time."""
        if self.unfinalized_seconds > LATE_SECONDS:
            seconds = self.unfinalized_seconds
            return f"{_events(self.accepted)} accepted, none finalized for {seconds:.0f} s"
        if self.unaccepted_seconds > LATE_SECONDS:
            seconds = self.unaccepted_seconds
            return f"{_events(self.unaccepted)} sent, none accepted for {seconds:.0f} s"
        return ""


class Submitter:
    """Moves events from the outbox to the ledger. Only one thread runs it."""

    def __init__(
        self,
        seated: Seated,
        outbox: Outbox,
        log: Log,
        sender: Sender,
        *,
        schedule: ResendSchedule,
        is_caught_up: Callable[[], bool],
    ) -> None:
        """`is_caught_up`: whether the log was just read to the end of the ledger."""
        self._seated = seated
        self._outbox = outbox
        self._log = log
        self._sender = sender
        self._schedule = schedule
        self._is_caught_up = is_caught_up
        self._lock = threading.Lock()  # guards the next three lines
        self._accepted: tuple[int, float] = (0, 0.0)  # number, since (monotonic seconds)
        self._unaccepted: tuple[int, float] = (0, 0.0)  # number, since (monotonic seconds)
        self._oldest_at: float | None = None  # monotonic seconds
        self._finalized_at = float("-inf")  # when an event last came into the log
        self._accepted_at = float("-inf")  # when a gateway last accepted an event

    @property
    def _committee(self) -> Committee:
        """The committee that holds now."""
        return self._seated.committee

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set. A new event waits only while others are collected."""
        while not stop.is_set():
            self._outbox.added.clear()  # before the outbox is read, so that no addition is missed
            try:
                sent = self.step()
            except LedgerError as error:
                logger.warning("send_failed", reason=error.name, detail=str(error))
                stop.wait(POLL_SECONDS)
                continue
            for entry in sent:
                logger.info("event_sent", claim=entry.event.claim.to_json())
            if sent:
                stop.wait(min(MAX_COLLECT_SECONDS, COLLECT_SECONDS_PER_EVENT * len(sent)))
            else:
                self._outbox.added.wait(POLL_SECONDS)

    def step(self) -> list[Pending]:
        """Remove events that are done, and send those that are due. Return what was sent.

        All of them go at once, by timestamp.

        Raises LedgerError: the events that were not sent stay in the outbox.
        """
        waiting = self._settle(sorted(self._outbox.pending(), key=_order))
        self._schedule.update(waiting, self._log.position.index)
        self._note_backlog(waiting)
        caught_up = self._is_caught_up() or bool(self._log.alarm())
        due = self._schedule.choose(waiting, caught_up=caught_up)
        try:
            return [
                entry
                for start in range(0, len(due), MAX_EVENTS_PER_REQUEST)
                for entry in self._send(due[start : start + MAX_EVENTS_PER_REQUEST])
            ]
        finally:
            self._note_backlog(waiting)

    def backlog(self) -> Backlog:
        """What waits now. Any thread may call it."""
        now = self._schedule.monotonic()
        with self._lock:
            (accepted, since), oldest_at = self._accepted, self._oldest_at
            unaccepted, failed_at = self._unaccepted
        return Backlog(
            accepted,
            now - since if accepted else 0.0,
            unaccepted,
            now - failed_at if unaccepted else 0.0,
            0.0 if oldest_at is None else now - oldest_at,
        )

    def _settle(self, pending: list[Pending]) -> list[Pending]:
        """Remove the events that are done. Return the others."""
        if self._log.alarm():
            done = [(each, "alarm") for each in pending if each.sends >= MAX_SENDS_UNDER_ALARM]
        else:
            done = settled(pending, self._log.state, self._committee)
        for entry, why in done:
            logger.info("outbox_settled", why=why, claim=entry.event.claim.to_json())
            if entry.sends and why == "applied":
                self._finalized_at = self._schedule.monotonic()
        self._outbox.remove([entry for entry, _ in done])
        removed = {entry.id for entry, _ in done}
        return [entry for entry in pending if entry.id not in removed]

    def _note_backlog(self, waiting: Sequence[Pending]) -> None:
        accepted = self._schedule.accepted_at(waiting)
        # Only these can become final: an event that the log cannot apply is no fault of the ledger.
        applicable = self._schedule.accepted_at([each for each in waiting if self._applies(each)])
        failed = self._schedule.failed_at()
        with self._lock:
            since = max(min(applicable, default=0.0), self._finalized_at)
            self._accepted = len(accepted) if applicable else 0, since
            self._unaccepted = len(failed), max(min(failed, default=0.0), self._accepted_at)
            self._oldest_at = self._schedule.oldest_at()

    def _applies(self, entry: Pending) -> bool:
        """Whether the log would apply the event if it were the next one."""
        try:
            check_applicable(self._log.state, entry.event.claim)
        except NotApplicable:
            return False
        return True

    def _send(self, due: Sequence[Pending]) -> list[Pending]:
        """Send events in one request, or one by one if that is refused. Return what was sent."""
        begun = self._schedule.monotonic()
        try:
            self._sender.send([entry.event.to_json() for entry in due])
        except LedgerUnavailable:
            self._schedule.note_failure(due, begun=begun)
            raise
        except LedgerError as error:
            if len(due) > 1:  # one event is the reason; the others do not wait for it
                return [sent for entry in due for sent in self._send([entry])]
            logger.warning("event_refused", reason=error.name, detail=str(error))
            self._note_attempt(due, begun=begun, accepted=False)
            return []
        self._accepted_at = self._schedule.monotonic()
        self._note_attempt(due, begun=begun, accepted=True)
        return list(due)

    def _note_attempt(self, due: Sequence[Pending], *, begun: float, accepted: bool) -> None:
        self._schedule.note_attempt(due, begun=begun, accepted=accepted)
        self._outbox.mark_sent(due, self._schedule.wall())


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"


def _order(entry: Pending) -> tuple[tuple[int, bool], int]:
    return ledger_order(entry.event.claim), entry.id
