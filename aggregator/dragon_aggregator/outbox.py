"""The outbox: events between their making and their place in the log.

An event is on disk before it is sent, and is sent again until it is *applied, overtaken or
older than `max_age`*: the sequencer's "accepted" is not durable. Crash before the row: the change
is gathered anew in the next round. Crash after sending: it is sent once more, and the logs take it
once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from sqlalchemy import text

from dragon.encoding import Json, canonical, parse
from dragon.errors import AppliedAlready, LedgerError, LedgerUnavailable
from dragon.log.store import Log
from dragon.protocol import event
from dragon.protocol.claims.base import Claim, EventClaim, kind_of, ordering_key
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.committee import MAX_RANK, Committee
from dragon.protocol.event import Event
from dragon.protocol.state import State, Transition
from dragon.storage.database import Database

SCHEMA: Final = "dragon_aggregator:migrations"
ARCHIVE_CLEARS: Final = ("outbox",)  # its certificates belong to the history that is set aside
RESEND_AFTER: Final = 10.0  # seconds in which an accepted event should have come back
PAUSE: Final = 0.2
# Each batch costs every reader of the ledger a dear check, however much is in it. So the more was
# sent, the longer what comes next is gathered: seconds for each event, and at most.
GATHER: Final = 0.25
GATHER_MOST: Final = 1.0

logger = structlog.stdlib.get_logger(__name__)


class Sender(Protocol):
    """What the outbox needs of a sequencer client."""

    def send(self, events: Sequence[dict[str, Json]]) -> None: ...


@dataclass(frozen=True, slots=True)
class Pending:
    """One event that waits for its place in the log."""

    id: int
    event: Event
    not_before: float  # Unix seconds; aggregators of a higher rank wait for the others
    sent_at: float | None
    sends: int


class Outbox:
    """The table, in order of making."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._decoded: dict[int, Event] = {}  # by row; replaced, never changed

    def add(self, certified: Event, *, not_before: float) -> None:
        """Keep a verified event; it is on disk when this returns."""
        query = text(
            "INSERT INTO outbox (ordering_key, event, not_before) "
            "VALUES (:ordering_key, :event, :not_before)"
        )
        values = {
            "ordering_key": ordering_key(certified.claim),
            "event": canonical(certified.to_json()).decode(),
            "not_before": not_before,
        }
        with self._database.write() as connection:
            connection.execute(query, values)

    def pending(self) -> list[Pending]:
        """Everything, oldest first."""
        query = text("SELECT id, event, not_before, sent_at, sends FROM outbox ORDER BY id")
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        known = self._decoded
        events = {row.id: known.get(row.id) or event.decode(parse(row.event)) for row in rows}
        self._decoded = events
        return [
            Pending(row.id, events[row.id], row.not_before, row.sent_at, row.sends) for row in rows
        ]

    def newest(self, node_id: str) -> Claim | None:
        """The last claim on a node, or in the ordering_key of checkpoints, that is still on its way."""
        claims = self.claims(node_id)
        return claims[-1] if claims else None

    def claims(self, key: str) -> list[Claim]:
        """All claims of a ordering_key that are still on their way, oldest first."""
        query = text("SELECT id, event FROM outbox WHERE ordering_key = :key ORDER BY id")
        with self._database.read() as connection:
            rows = connection.execute(query, {"key": key}).all()
        known = self._decoded
        return [(known.get(row.id) or event.decode(parse(row.event))).claim for row in rows]

    def mark_sent(self, entries: Sequence[Pending], at: float) -> None:
        query = text("UPDATE outbox SET sent_at = :at, sends = sends + 1 WHERE id = :id")
        with self._database.write() as connection:
            connection.execute(query, [{"at": at, "id": entry.id} for entry in entries])

    def remove(self, entries: Sequence[Pending]) -> None:
        if entries:
            query = text("DELETE FROM outbox WHERE id = :id")
            with self._database.write() as connection:
                connection.execute(query, [{"id": entry.id} for entry in entries])


class Submitter:
    """Moves the outbox's entries to the ledger. Owns the only thread that sends."""

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

    def step(self) -> list[Pending]:
        """Drop what is settled, send what is due; a node's events one at a time, in order, a
        stream's windows in order without waiting for each other.

        Returns what was sent. Raises LedgerError: it was not, and stays.
        """
        now, state = self._wall(), self._log.state
        heads: list[Pending] = []
        settled: list[Pending] = []
        taken: set[str] = set()
        for entry in self._outbox.pending():
            claim = entry.event.claim
            if ordering_key(claim) in taken:
                continue  # whether it is still news depends on the one before it
            if why := self._why_settled(claim, state, now):
                logger.info("outbox_settled", why=why, claim=claim.to_json())
                settled.append(entry)
                continue
            heads.append(entry)
            if kind_of(claim).in_sequence:
                taken.add(ordering_key(claim))
        self._outbox.remove(settled)
        longest_wait = MAX_RANK * self._committee.rounds.seconds
        due = [entry for entry in heads if _is_due(entry, now, longest_wait)]
        self._send(due, now)
        return due

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
            # Something about one of them; the others must not wait for it.
            for entry in due:
                with suppress(LedgerError):
                    self._send([entry], now)
            return
        self._outbox.mark_sent(due, now)

    def _why_settled(self, claim: Claim, state: State, now: float) -> str | None:
        """Return why a claim need not be sent any more, or None while it is news."""
        if not isinstance(claim, EventClaim):
            return "no_event"
        # Under an alarm the log stands still and no longer tells what is superseded.
        if not self._log.alarm() and (
            refusal := kind_of(claim).superseded(claim, state, self._committee)
        ):
            return "applied" if isinstance(refusal, AppliedAlready) else "superseded"
        return "expired" if now > claim.timestamp + self._committee.rounds.max_age else None

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            pause = PAUSE
            try:
                sent = self.step()
                pause = min(GATHER_MOST, GATHER * len(sent)) if sent else PAUSE
                for entry in sent:
                    logger.info("event_sent", claim=entry.event.claim.to_json())
            except LedgerError as error:
                logger.warning("send_failed", reason=error.name, detail=str(error))
            stop.wait(pause)


def _is_due(entry: Pending, now: float, longest_wait: float) -> bool:
    # A clock that was set back must not hold an event up.
    if entry.sent_at is None:
        return not 0 < entry.not_before - now <= longest_wait
    return not 0 <= now - entry.sent_at < RESEND_AFTER


def last_known(outbox: Outbox, log: Log, node_id: str) -> Transition | None:
    """What has been certified last, applied or still on its way; None while unknown.

    Under an alarm the own log stands still and says nothing about now: the operators have to.
    """
    newest = outbox.newest(node_id)
    if isinstance(newest, StatusClaim):
        return Transition(newest.status, newest.timestamp)
    return None if log.alarm() else log.state.last(node_id)
