"""The table `entries`: one row per applied event, from which everything else can be derived.

Every row is compared with its stored leaf hash when it is read, so damage on disk is noticed. The
text of an event is canonical JSON, so its leaf is computed without decoding it.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from dragon import errors
from dragon.encoding import MAX_INTEGER, Members, canonical, parse
from dragon.log import index_tables
from dragon.log.ledger import Position
from dragon.protocol import event, merkle
from dragon.protocol.claims.base import Claim, kind_named
from dragon.protocol.log_entry import LogEntry

_COLUMNS: Final = "position, kind, event, leaf_hash, ledger_index, ledger_time, chaining_hash"


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A row of the table. Its event has the stored leaf hash."""

    position: int
    kind: str
    event: bytes  # canonical JSON
    leaf_hash: bytes
    ledger_index: int
    ledger_time: int | None
    chaining_hash: str

    def to_entry(self) -> LogEntry:
        """Decode the event strictly. Raises LogDamaged."""
        try:
            decoded = event.decode(parse(self.event))
        except errors.DragonError as error:
            raise _undecodable(self.position, error) from None
        return LogEntry(
            self.position, decoded, self.ledger_index, self.ledger_time, self.chaining_hash
        )

    def to_claim(self) -> Claim:
        """Decode the claim only: at start, for every entry of the log. Raises LogDamaged."""
        try:
            members = json.loads(self.event)
            kind = kind_named(members["kind"])
            if kind is None or kind.name != self.kind:
                raise errors.UnknownKind(f"the column kind is {self.kind!a}")
            claim: Claim = kind.claim.take(Members(members, "the event"))
        except (errors.DragonError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise _undecodable(self.position, error) from None
        return claim

    def to_json(self) -> bytes:
        """Return the entry as `GET /events` shows it."""
        time = b"null" if self.ledger_time is None else b"%d" % self.ledger_time
        return b'{"event":%b,"ledger_index":%d,"ledger_time":%b,"position":%d}' % (
            self.event,
            self.ledger_index,
            time,
            self.position,
        )


def append(cursor: sqlite3.Cursor, entry: LogEntry) -> None:
    """Write an entry and its rows in the derived tables."""
    cursor.execute(
        "INSERT INTO entries VALUES (:position, :kind, :root, :event, :leaf_hash, "
        ":ledger_index, :ledger_time, :chaining_hash)",
        {
            "position": entry.position,
            "kind": entry.event.claim.KIND,
            "root": event.root(entry.event),
            "event": canonical(entry.event.to_json()).decode(),
            "leaf_hash": entry.leaf_hash,
            "ledger_index": entry.ledger_index,
            "ledger_time": entry.ledger_time,
            "chaining_hash": entry.chaining_hash,
        },
    )
    index_tables.insert(cursor, entry.position, entry.event)


def read_one(connection: Connection, position: int) -> StoredEntry | None:
    """Return the entry at this position, if the log is long enough. Raises LogDamaged."""
    query = text(f"SELECT {_COLUMNS} FROM entries WHERE position = :position")  # noqa: S608
    row = connection.execute(query, {"position": position}).first()
    return None if row is None else _checked(row)


def newest(connection: Connection, kind: str) -> StoredEntry | None:
    """Return the newest entry of a kind, if there is one. Raises LogDamaged.

    All entries after it are read, so only ask for a kind that is frequent.
    """
    query = text(
        f"SELECT {_COLUMNS} FROM entries WHERE kind = :kind ORDER BY position DESC LIMIT 1"  # noqa: S608
    )
    row = connection.execute(query, {"kind": kind}).first()
    return None if row is None else _checked(row)


def read_after(connection: Connection, after: int, limit: int) -> Iterator[StoredEntry]:
    """Yield the entries after position `after`, oldest first. Rows are read when they are needed.

    Raises LogDamaged.
    """
    query = text(
        f"SELECT {_COLUMNS} FROM entries WHERE position > :after ORDER BY position LIMIT :limit"  # noqa: S608
    )
    for row in connection.execute(query, {"after": after, "limit": limit}):
        yield _checked(row)


def position_before(connection: Connection, index: int) -> Position | None:
    """Return index and chaining hash of the newest entry with one, at or before ledger `index`.

    A binary search, because gateways choose the index: ledger indices ascend with the positions,
    and only the first entries of a log, with which it began, have no chaining hash.

    Raises LogDamaged.
    """

    def read(position: int) -> StoredEntry:
        entry = read_one(connection, position)
        if entry is None:
            raise errors.LogDamaged(f"entry {position} is missing", position=position)
        return entry

    size = connection.execute(text("SELECT MAX(position) + 1 FROM entries")).scalar_one() or 0
    behind = bisect_right(range(size), index, key=lambda position: read(position).ledger_index)
    found = read(behind - 1) if behind else None
    if found is None or not found.chaining_hash:
        return None
    return Position(found.ledger_index, found.chaining_hash)


def position_of(connection: Connection, root: str) -> int | None:
    """Return the position of the event with this root of its claim, if it was applied."""
    query = text("SELECT position FROM entries WHERE root = :root")
    row = connection.execute(query, {"root": root}).first()
    return row[0] if row else None


def _checked(row: Any) -> StoredEntry:
    """Check the types of all columns, because SQLite stores values of any type, and the hash."""
    position, kind, text_, leaf_hash, ledger_index, ledger_time, chaining_hash = row
    if not (
        type(kind) is type(text_) is type(chaining_hash) is str
        and type(leaf_hash) is bytes
        and _is_number(ledger_index)
        and (ledger_time is None or _is_number(ledger_time))
    ):
        message = f"entry {position} has a value of a wrong type"
        raise errors.LogDamaged(message, position=position)
    stored = text_.encode()
    if merkle.leaf_hash(event.leaf_of(stored, ledger_index)) != leaf_hash:
        message = f"entry {position} was altered on disk: it does not match its leaf hash"
        raise errors.LogDamaged(message, position=position)
    return StoredEntry(position, kind, stored, leaf_hash, ledger_index, ledger_time, chaining_hash)


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_INTEGER


def _undecodable(position: int, error: Exception) -> errors.LogDamaged:
    message = f"entry {position} cannot be decoded{errors.because(error)}"
    return errors.LogDamaged(message, position=position)
