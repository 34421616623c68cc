"""The record of refused events: counts by reason, and the newest events for inspection.

The record is not part of the log or its root. No rule depends on it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from dragon.errors import LogDamaged
from dragon.log.refusal_reason import Reason

MAX_REFUSED_KEPT: Final = 10_000  # refused events kept for inspection
MAX_EXCERPT_CHARS: Final = 200  # of a refused event


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused event."""

    ledger_index: int
    place: int  # within its batch, from 0
    reason: str  # the error's name
    detail: str
    excerpt: str  # the beginning of the event's text; empty after a forged event

    @classmethod
    def of(cls, ledger_index: int, place: int, reason: Reason, event_text: str) -> Refusal:
        """Return the record of a refused event."""
        # Replacing surrogates: SQLite stores only text that can be encoded as UTF-8.
        excerpt = event_text[:MAX_EXCERPT_CHARS].encode(errors="replace").decode()
        return cls(ledger_index, place, reason.name, reason.detail, excerpt)

    @classmethod
    def read(cls, row: Sequence[Any]) -> Refusal:
        """Check the types of a row. Raises LogDamaged."""
        if [type(value) for value in row] != [int, int, str, str, str]:
            raise LogDamaged("a row of table refused has a value of a wrong type")
        return cls(*row)


_COLUMNS: Final = tuple(Refusal.__dataclass_fields__)


def record(cursor: sqlite3.Cursor, refusals: Sequence[Refusal]) -> None:
    """Count all refusals and keep the newest.

    The number of statements does not grow with the number of refusals, because anyone who can reach
    the sequencer can cause refusals.
    """
    if not refusals:
        return
    cursor.executemany(
        "INSERT INTO refused (ledger_index, place, reason, detail, excerpt) "
        "VALUES (:ledger_index, :place, :reason, :detail, :excerpt)",
        [
            {name: getattr(refusal, name) for name in _COLUMNS}
            for refusal in refusals[-MAX_REFUSED_KEPT:]
        ],
    )
    cursor.execute(
        "DELETE FROM refused WHERE id <= (SELECT MAX(id) FROM refused) - :kept",
        {"kept": MAX_REFUSED_KEPT},
    )
    cursor.executemany(
        "INSERT INTO refusals VALUES (:reason, :count) "
        "ON CONFLICT (reason) DO UPDATE SET count = count + excluded.count",
        [
            {"reason": reason, "count": count}
            for reason, count in Counter(refusal.reason for refusal in refusals).items()
        ],
    )


def counts(connection: Connection) -> dict[str, int]:
    """Return the number of refused events by reason. Raises LogDamaged."""
    query = text("SELECT reason, count FROM refusals ORDER BY reason")
    found = {row[0]: row[1] for row in connection.execute(query)}
    if not all(type(reason) is str and type(count) is int for reason, count in found.items()):
        raise LogDamaged("a row of table refusals has a value of a wrong type")
    return found


def newest(connection: Connection, limit: int) -> list[Refusal]:
    """Return the newest refused events, newest first."""
    query = text(
        "SELECT ledger_index, place, reason, detail, excerpt FROM refused "
        "ORDER BY id DESC LIMIT :limit"
    )
    return [Refusal.read(row) for row in connection.execute(query, {"limit": limit})]


def page_before(connection: Connection, before: int, limit: int) -> list[tuple[int, Refusal]]:
    """Return refused events with row ids below `before`, each with its row id, newest first."""
    query = text(
        "SELECT ledger_index, place, reason, detail, excerpt, id FROM refused "
        "WHERE id < :before ORDER BY id DESC LIMIT :limit"
    )
    rows = connection.execute(query, {"before": before, "limit": limit}).all()
    return [(row[5], Refusal.read(row[:5])) for row in rows]
