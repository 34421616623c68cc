"""The outbox: certificates between their making and their place in the log.

A certificate is on disk before it is sent, and is sent again until it is *applied, overtaken or
older than `max_age`*: the sequencer's "accepted" is not durable. Crash before the row: the change
is gathered anew in the next round. Crash after sending: it is sent once more, and the logs take it
once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import text

from dragon import event
from dragon.claim import StatusClaim
from dragon.committee import MAX_RANK, Committee
from dragon.encoding import Json, canonical, parse
from dragon.errors import LedgerError
from dragon.event import Event
from dragon.log.apply import State, Transition
from dragon.log.database import Database
from dragon.log.repository import Log

SCHEMA: Final = "dragon_aggregator:migrations"
RESEND_AFTER: Final = 10.0  # seconds in which an accepted event should have come back
PAUSE: Final = 0.2

logger = logging.getLogger(__name__)


class Sender(Protocol):
    """What the outbox needs of a sequencer client."""

    def send(self, events: Sequence[dict[str, Json]]) -> None: ...


@dataclass(frozen=True, slots=True)
class Pending:
    """One certificate that waits for its place in the log."""

    id: int
    event: Event
    not_before: float  # Unix seconds; aggregators of a higher rank wait for the others
    sent_at: float | None
    sends: int


class Outbox:
    """The table, in order of making."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, certified: Event, *, not_before: float) -> None:
        """Keep a verified certificate; it is on disk when this returns."""
        query = text(
            "INSERT INTO outbox (node_id, event, not_before) VALUES (:node_id, :event, :not_before)"
        )
        values = {
            "node_id": certified.claim.node_id,
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
        return [
            Pending(row.id, event.decode(parse(row.event)), row.not_before, row.sent_at, row.sends)
            for row in rows
        ]

    def newest(self, node_id: str) -> StatusClaim | None:
        """The last claim on a node that is still on its way."""
        query = text("SELECT event FROM outbox WHERE node_id = :node_id ORDER BY id DESC LIMIT 1")
        with self._database.read() as connection:
            row = connection.execute(query, {"node_id": node_id}).first()
        return event.decode(parse(row.event)).claim if row else None

    def mark_sent(self, entries: Sequence[Pending], at: float) -> None:
        query = text("UPDATE outbox SET sent_at = :at, sends = sends + 1 WHERE id = :id")
        with self._database.write() as connection:
            connection.execute(query, [{"at": at, "id": entry.id} for entry in entries])

    def remove(self, entry: Pending) -> None:
        with self._database.write() as connection:
            connection.execute(text("DELETE FROM outbox WHERE id = :id"), {"id": entry.id})


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
        """Drop what is settled, send what is due; a node's events one at a time, in order.

        Returns what was sent. Raises LedgerError: it was not, and stays.
        """
        now, state = self._wall(), self._log.state
        heads: dict[str, Pending] = {}
        for entry in self._outbox.pending():
            claim = entry.event.claim
            if claim.node_id in heads:
                continue  # whether it is still news depends on the one before it
            if why := self._settled(claim, state, now):
                logger.info("outbox_%s claim=%s", why, claim.members())
                self._outbox.remove(entry)
            else:
                heads[claim.node_id] = entry
        longest_wait = MAX_RANK * self._committee.rounds.seconds
        due = [entry for entry in heads.values() if _is_due(entry, now, longest_wait)]
        if due:
            self._sender.send([entry.event.to_json() for entry in due])
            self._outbox.mark_sent(due, now)
        return due

    def _settled(self, claim: StatusClaim, state: State, now: float) -> str | None:
        """Why a claim need not be sent any more, if so."""
        last = state.last(claim.node_id)
        if state.has(claim):
            return "applied"
        if last and (last.timestamp >= claim.timestamp or last.status is claim.status):
            return "overtaken"
        if now > claim.timestamp + self._committee.rounds.max_age:
            return "expired"
        return None

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                for entry in self.step():
                    logger.info("event_sent claim=%s", entry.event.claim.members())
            except LedgerError as error:
                logger.warning("send_failed reason=%s detail=%s", error.name, error)
            stop.wait(PAUSE)


def _is_due(entry: Pending, now: float, longest_wait: float) -> bool:
    # A clock that was set back must not hold an event up.
    if entry.sent_at is None:
        return not 0 < entry.not_before - now <= longest_wait
    return not 0 <= now - entry.sent_at < RESEND_AFTER


def last_known(outbox: Outbox, log: Log, node_id: str) -> Transition | None:
    """What has been certified last, applied or still on its way; None while unknown."""
    newest = outbox.newest(node_id)
    return Transition(newest.status, newest.timestamp) if newest else log.state.last(node_id)
