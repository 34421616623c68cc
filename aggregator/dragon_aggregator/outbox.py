"""The outbox: events that are certified but not yet in the log.

An event is on disk before it is sent. After a crash before that, the change is certified again in
the next round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text

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
    event: Event
    not_before: float  # Unix seconds; aggregators with a higher rank send later
    sent_at: float | None  # Unix seconds of the last attempt, for display
    sends: int  # number of attempts

    @property
    def key(self) -> str:
        """The ordering key of its claim."""
        return ordering_key(self.event.claim)


class Outbox:
    """The table of pending events, in the order of their creation."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._decoded: dict[int, Event] = {}  # by row id; replaced as a whole, never changed

    def add(self, certified: Event, *, not_before: float) -> None:
        """Add a verified event. It is on disk when this returns.

        `not_before`: Unix seconds of the first attempt to send it.
        """
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
        """All events, in the order in which they were added."""
        query = text("SELECT id, event, not_before, sent_at, sends FROM outbox ORDER BY id")
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        known = self._decoded
        events = {row.id: known.get(row.id) or _decode(row.id, row.event) for row in rows}
        self._decoded = events
        return [
            Pending(row.id, events[row.id], row.not_before, row.sent_at, row.sends) for row in rows
        ]

    def newest(self, key: str) -> Claim | None:
        """The pending claim with that ordering key that has the latest timestamp."""
        claims = self.claims(key)
        return claims[-1] if claims else None

    def claims(self, key: str) -> list[Claim]:
        """All pending claims with that ordering key, by timestamp."""
        query = text("SELECT id, event FROM outbox WHERE ordering_key = :key ORDER BY id")
        with self._database.read() as connection:
            rows = connection.execute(query, {"key": key}).all()
        known = self._decoded
        claims = [(known.get(row.id) or _decode(row.id, row.event)).claim for row in rows]
        return sorted(claims, key=ledger_order)

    def mark_sent(self, entries: Sequence[Pending], at: float) -> None:
        """Record an attempt to send at `at` (Unix seconds)."""
        query = text("UPDATE outbox SET sent_at = :at, sends = sends + 1 WHERE id = :id")
        with self._database.write() as connection:
            connection.execute(query, [{"at": at, "id": entry.id} for entry in entries])

    def remove(self, entries: Sequence[Pending]) -> None:
        if entries:
            query = text("DELETE FROM outbox WHERE id = :id")
            with self._database.write() as connection:
                connection.execute(query, [{"id": entry.id} for entry in entries])


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
