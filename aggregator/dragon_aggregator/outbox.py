"""The outbox: events that are certified but not yet in the log.

An event is on disk before it is sent. After a crash before that, the change is certified again in
the next round.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dragon.encoding import canonical, parse
from dragon.errors import DragonError, LogDamaged
from dragon.log.store import Log
from dragon.protocol import event
from dragon.protocol.claims.base import Claim, EventClaim, ordering_key
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.event import Event
from dragon.protocol.state import Transition
from dragon.storage.database import Database

SCHEMA: Final = "dragon_aggregator:migrations"
ARCHIVE_CLEARS: Final = ("outbox",)  # its events belong to the archived history
MAX_PENDING_PER_KEY: Final = 64  # events of a node or stream; beyond, none is collected for it


@dataclass(frozen=True, slots=True)
class Pending:
    """One event that is not yet in the log."""

    id: int
    key: str  # the ordering key of its claim
    event: Event
    not_before: float  # Unix seconds; aggregators with a higher rank send later
    sent_at: float | None  # Unix seconds of the last attempt, for display
    sends: int  # number of attempts


class Outbox:
    """The table of pending events, in the order of their creation. Any thread may use it.

    Nothing else changes the table, so it is read again only after a change.

    Args:
        added: is set after each addition, for the thread that sends.
    """

    def __init__(self, database: Database, added: threading.Event | None = None) -> None:
        self.added = added or threading.Event()
        self._database = database
        self._lock = threading.Lock()  # guards the next line
        self._changes = 0  # that have ended, and may be in the table
        self._read: tuple[int, tuple[Pending, ...]] | None = None  # after how many changes

    def add(self, certified: Event, *, not_before: float) -> None:
        """Add a verified event. It is on disk when this returns.

        `not_before`: Unix seconds of the first attempt to send it.
        """
        query = (
            "INSERT INTO outbox (ordering_key, event, not_before) "
            "VALUES (:ordering_key, :event, :not_before)"
        )
        values = {
            "ordering_key": ordering_key(certified.claim),
            "event": canonical(certified.to_json()).decode(),
            "not_before": not_before,
        }
        self._change(query, [values])
        self.added.set()

    def pending(self) -> list[Pending]:
        """All events, in the order in which they were added."""
        return list(self._entries())

    def newest(self, key: str) -> Claim | None:
        """The pending claim with that ordering key that has the latest timestamp."""
        claims = self.claims(key)
        return claims[-1] if claims else None

    def claims(self, key: str) -> list[Claim]:
        """All pending claims with that ordering key, by timestamp."""
        claims = [entry.event.claim for entry in self._entries() if entry.key == key]
        return sorted(claims, key=ledger_order)

    def mark_sent(self, entries: Sequence[Pending], at: float) -> None:
        """Record an attempt to send at `at` (Unix seconds)."""
        query = "UPDATE outbox SET sent_at = :at, sends = sends + 1 WHERE id = :id"
        self._change(query, [{"at": at, "id": entry.id} for entry in entries])

    def remove(self, entries: Sequence[Pending]) -> None:
        if entries:
            query = "DELETE FROM outbox WHERE id = :id"
            self._change(query, [{"id": entry.id} for entry in entries])

    def _change(self, query: str, rows: Sequence[Mapping[str, object]]) -> None:
        try:
            with self._database.transaction() as cursor:
                cursor.executemany(query, rows)
        finally:  # of a change that failed, nobody knows whether it is in the table
            with self._lock:
                self._changes += 1

    def _entries(self) -> tuple[Pending, ...]:
        changes, read = self._changes, self._read
        if read is not None and read[0] == changes:
            return read[1]
        known = {entry.id: entry for entry in read[1]} if read is not None else {}
        query = "SELECT id, ordering_key, event, not_before, sent_at, sends FROM outbox ORDER BY id"
        found = tuple(_pending(row, known) for row in self._database.query(query, {}))
        # A change that ended meanwhile has another number, so the next call reads again.
        self._read = changes, found
        return found  # not `self._read`: a thread that read earlier may have replaced it


def _pending(row: Sequence[Any], known: Mapping[int, Pending]) -> Pending:
    """Args: `known`, entries by id: the event of an id never changes."""
    id_, key, stored, not_before, sent_at, sends = row
    event_ = known[id_].event if id_ in known else _decode(id_, stored)
    return Pending(id_, key, event_, not_before, sent_at, sends)


def _decode(id_: int, stored: str) -> Event:
    try:
        return event.decode(parse(stored))
    except DragonError as error:
        raise LogDamaged(f"event {id_} of the outbox cannot be decoded: {error}") from None


def ledger_order(claim: Claim) -> tuple[int, bool]:
    """Return the sort key that brings events into the order in which the log should apply them.

    By timestamp. A checkpoint makes older events stale, and a handover makes those of its committee
    superseded, so both come after all events of their second.
    """
    timestamp = claim.timestamp if isinstance(claim, EventClaim) else 0
    return timestamp, isinstance(claim, CheckpointClaim | HandoverClaim)


def last_known(outbox: Outbox, log: Log, node_id: str) -> Transition | None:
    """The newest certified transition of a node, pending or in the log; None while unknown.

    Under an alarm the log is ignored, since nothing is applied to it: the operators decide.
    """
    newest = outbox.newest(node_id)  # before the log is read: an applied event moves from here
    applied = None if log.alarm() else log.state.last(node_id)
    if not isinstance(newest, StatusClaim):
        return applied
    if applied is not None and applied.timestamp >= newest.timestamp:
        return applied
    return Transition(newest.status, newest.timestamp)
