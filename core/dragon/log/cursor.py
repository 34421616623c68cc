"""The log's cursor: the ledger position up to which batches are applied, and the alarm."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from dragon import errors
from dragon.encoding import to_hex
from dragon.log.ledger import Position
from dragon.protocol.committee import Committee


@dataclass(frozen=True, slots=True)
class Alarm:
    """Why the log has stopped. While an alarm is stored, no batch is applied."""

    reason: str
    detail: str


def read_cursor(connection: Connection, committee: Committee) -> Position:
    """Return the stored position; create the cursor at genesis in a new file.

    Raises LogDamaged: the file belongs to another committee, or this committee's log was archived.
    """
    row = connection.execute(text("SELECT * FROM cursor")).first()
    owner = to_hex(committee.id)
    if row is None:
        check_not_archived(connection, committee)
        query = text("INSERT INTO cursor VALUES (1, :owner, 0, '')")
        connection.execute(query, {"owner": owner})
        return Position()
    if row.committee != owner:
        message = f"the log belongs to committee {row.committee}, not to {owner}"
        raise errors.LogDamaged(message, committee=row.committee)
    return Position(row.last_index, row.chaining_hash)


def check_not_archived(connection: Connection, committee: Committee) -> None:
    """Refuse to begin a log again: an old checkpoint on the new ledger would stop it for ever.

    Raises LogDamaged: this committee's log was archived.
    """
    owner = to_hex(committee.id)
    query = text("SELECT 1 FROM archived WHERE committee = :owner")
    if connection.execute(query, {"owner": owner}).first():
        message = (
            f"the log of committee {owner} was archived and cannot begin again; found the "
            "committee anew, with a new genesis (`dragon init --refound`)"
        )
        raise errors.LogDamaged(message, committee=owner)


def stored_index(connection: Connection) -> int:
    """Return the index of the last batch that the file records as applied."""
    return int(connection.execute(text("SELECT last_index FROM cursor")).scalar_one())


def advance_cursor(connection: Connection, position: Position) -> None:
    """Store a new position, in the transaction that applies the batches before it."""
    query = text("UPDATE cursor SET last_index = :index, chaining_hash = :chaining_hash")
    values = {"index": position.index, "chaining_hash": position.chaining_hash}
    connection.execute(query, values)


def read_alarm(connection: Connection) -> Alarm | None:
    """Return the stored alarm, if there is one."""
    row = connection.execute(text("SELECT reason, detail FROM alarm")).first()
    return Alarm(row.reason, row.detail) if row else None


def store_alarm(connection: Connection, alarm: Alarm) -> None:
    """Store an alarm, unless one is stored already."""
    query = text("INSERT OR IGNORE INTO alarm VALUES (1, :reason, :detail)")
    connection.execute(query, {"reason": alarm.reason, "detail": alarm.detail})
