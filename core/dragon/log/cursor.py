"""The log's cursor: the ledger position up to which batches are applied, and the alarm."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from sqlalchemy import Connection, text

from dragon import errors
from dragon.encoding import MAX_INTEGER, to_hex
from dragon.log.entry_table import StoredEntry
from dragon.log.ledger import Position
from dragon.storage.database import Database


@dataclass(frozen=True, slots=True)
class Alarm:
    """Why the log has stopped. While an alarm is stored, no batch is applied."""

    reason: str
    detail: str


def read_cursor(connection: Connection, network_id: bytes) -> Position:
    """Return the stored position; create the cursor at genesis in a new file.

    Raises LogDamaged: the file belongs to another network, or this network's log was archived.
    """
    row = connection.execute(text("SELECT network, last_index, chaining_hash FROM cursor")).first()
    owner = to_hex(network_id)
    if row is None:
        check_not_archived(connection, network_id)
        query = text("INSERT INTO cursor VALUES (1, :owner, 0, '')")
        connection.execute(query, {"owner": owner})
        return Position()
    network, index, chaining_hash = row
    if network != owner:
        message = f"the log belongs to network {network}, not to {owner}"
        raise errors.LogDamaged(message, network=network)
    if not (type(index) is int and 0 <= index <= MAX_INTEGER and type(chaining_hash) is str):
        raise errors.LogDamaged("the cursor has a value of a wrong type")
    return Position(index, chaining_hash)


def check_last(position: Position, last: StoredEntry | None) -> None:
    """Compare the cursor with the last entry. Raises LogDamaged."""
    if last is None:
        return
    if position.index < last.ledger_index:
        message = f"the cursor ({position.index}) lies before the last entry ({last.ledger_index})"
        raise errors.LogDamaged(message, position=last.position)
    if position.index == last.ledger_index and position.chaining_hash != last.chaining_hash:
        message = f"cursor and entry {last.position} have different chaining hashes"
        raise errors.LogDamaged(message, position=last.position)


def check_not_archived(connection: Connection, network_id: bytes) -> None:
    """Refuse to begin a log again: an old checkpoint on the new ledger would stop it for ever.

    Raises LogDamaged: this network's log was archived.
    """
    owner = to_hex(network_id)
    query = text("SELECT 1 FROM archived WHERE network = :owner")
    if connection.execute(query, {"owner": owner}).first():
        message = (
            f"the log of network {owner} was archived and cannot begin again; found the "
            "network anew, with a new genesis (`dragon init --refound`)"
        )
        raise errors.LogDamaged(message, network=owner)


def stored_index(database: Database) -> int:
    """Return the index of the last batch that the file records as applied. Raises LogDamaged."""
    index = database.value("SELECT last_index FROM cursor", {})
    if type(index) is not int:
        raise errors.LogDamaged("the cursor is missing, or has a value of a wrong type")
    return index


def advance_cursor(cursor: sqlite3.Cursor, position: Position) -> None:
    """Store a new position, in the transaction that applies the batches before it."""
    query = "UPDATE cursor SET last_index = :index, chaining_hash = :chaining_hash"
    cursor.execute(query, {"index": position.index, "chaining_hash": position.chaining_hash})


def read_alarm(connection: Connection) -> Alarm | None:
    """Return the stored alarm, if there is one. Raises LogDamaged: it is damaged itself."""
    row = connection.execute(text("SELECT reason, detail FROM alarm")).first()
    if row is None:
        return None
    reason, detail = row
    if not (type(reason) is type(detail) is str):
        raise errors.LogDamaged("the stored alarm has a value of a wrong type")
    return Alarm(reason, detail)


def store_alarm(connection: Connection, alarm: Alarm) -> None:
    """Store an alarm, unless one is stored already."""
    query = text("INSERT OR IGNORE INTO alarm VALUES (1, :reason, :detail)")
    connection.execute(query, {"reason": alarm.reason, "detail": alarm.detail})
