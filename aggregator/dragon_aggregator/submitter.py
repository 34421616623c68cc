"""Sends certified events to the ledger until they are in the log.

The sequencer's "accepted" is not durable. So an event stays in the outbox and is sent again until
it is applied to the log, superseded by a later event, or older than `max_age`. After a crash an
event may be sent twice; every log applies it once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

import structlog

from dragon.encoding import Json
from dragon.errors import AppliedAlready, LedgerError, LedgerUnavailable
from dragon.log.store import Log
from dragon.protocol.claims.base import Claim, EventClaim, kind_of, ordering_key
from dragon.protocol.committee import MAX_RANK, Committee
from dragon.protocol.state import State
from dragon_aggregator.outbox import Outbox, Pending

RESEND_AFTER_SECONDS: Final = 10.0  # an accepted event should be in the log by then
POLL_SECONDS: Final = 0.2  # between two looks into the outbox
# Every batch costs each reader of the ledger an expensive check, whatever its size. So the more was
# sent, the longer the next events are collected into one batch.
COLLECT_SECONDS_PER_EVENT: Final = 0.25
MAX_COLLECT_SECONDS: Final = 1.0

logger = structlog.stdlib.get_logger(__name__)


class Sender(Protocol):
    """The part of a sequencer client that sends."""

    def send(self, events: Sequence[dict[str, Json]]) -> None: ...


class Submitter:
    """Moves events from the outbox to the ledger. Only one thread runs it."""

    def __init__(
        self,
        committee: Committee,
        outbox: Outbox,
        log: Log,
        sender: Sender,
        wall: Callable[[], float],
    ) -> None:
        self._committee = committee
        self._outbox = outbox
        self._log = log
        self._sender = sender
        self._wall = wall

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            pause = POLL_SECONDS
            try:
                if sent := self.step():
                    pause = min(MAX_COLLECT_SECONDS, COLLECT_SECONDS_PER_EVENT * len(sent))
                for entry in sent:
                    logger.info("event_sent", claim=entry.event.claim.to_json())
            except LedgerError as error:
                logger.warning("send_failed", reason=error.name, detail=str(error))
            stop.wait(pause)

    def step(self) -> list[Pending]:
        """Remove events that are done, and send those that are due. Return what was sent.

        Events with the same ordering key go one at a time, in order. Only the windows of a stream
        do not wait for each other.

        Raises LedgerError: nothing was sent; the events stay in the outbox.
        """
        now = self._wall()
        candidates = self._candidates(now)
        longest_wait = MAX_RANK * self._committee.rounds.seconds
        due = [entry for entry in candidates if _is_due(entry, now, longest_wait)]
        self._send(due, now)
        return due

    def _candidates(self, now: float) -> list[Pending]:
        """The events that may be sent now. Removes the events that are done."""
        state = self._log.state
        candidates: list[Pending] = []
        done: list[Pending] = []
        blocked: set[str] = set()  # ordering keys whose first event is not done
        for entry in self._outbox.pending():
            claim = entry.event.claim
            if ordering_key(claim) in blocked:
                continue  # whether it is superseded depends on the event before it
            if why := self._why_done(claim, state, now):
                logger.info("outbox_settled", why=why, claim=claim.to_json())
                done.append(entry)
                continue
            candidates.append(entry)
            if kind_of(claim).in_sequence:
                blocked.add(ordering_key(claim))
        self._outbox.remove(done)
        return candidates

    def _why_done(self, claim: Claim, state: State, now: float) -> str | None:
        """Why a claim need not be sent any more; None if it has to be."""
        if not isinstance(claim, EventClaim):
            return "no_event"
        # Under an alarm the log applies nothing, so it does not tell what is superseded.
        if not self._log.alarm() and (
            refusal := kind_of(claim).superseded(claim, state, self._committee)
        ):
            return "applied" if isinstance(refusal, AppliedAlready) else "superseded"
        return "expired" if now > claim.timestamp + self._committee.rounds.max_age else None

    def _send(self, due: Sequence[Pending], now: float) -> None:
        if not due:
            return
        try:
            self._sender.send([entry.event.to_json() for entry in due])
        except LedgerUnavailable:
            raise
        except LedgerError:
            if len(due) == 1:
                raise
            # One event is the reason; sent one by one, the others do not wait for it.
            for entry in due:
                with suppress(LedgerError):
                    self._send([entry], now)
            return
        self._outbox.mark_sent(due, now)


def _is_due(entry: Pending, now: float, longest_wait: float) -> bool:
    # The bounds on both sides keep a clock that was set back from delaying an event.
    if entry.sent_at is None:
        return not 0 < entry.not_before - now <= longest_wait
    return not 0 <= now - entry.sent_at < RESEND_AFTER_SECONDS
