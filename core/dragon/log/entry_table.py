"""The table `entries`: one row per applied event, from which everything else can be derived."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from sqlalchemy import Connection, Row, text

from dragon import errors
from dragon.encoding import canonical, parse
from dragon.log import index_tables
from dragon.log.ledger import Position
from dragon.protocol import event
from dragon.protocol.log_entry import LogEntry


def append(connection: Connection, entry: LogEntry) -> None:
    """Write an entry and its rows in the derived tables."""
    connection.execute(
        text(
            "INSERT INTO entries VALUES (:position, :kind, :root, :event, :leaf_hash, "
            ":ledger_index, :ledger_time, :chaining_hash)"
        ),
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
    index_tables.insert(connection, entry.position, entry.event)


def read_all(connection: Connection) -> Iterator[tuple[LogEntry, bytes]]:
    """Yield every entry with its stored leaf hash, in order.

    Raises LogDamaged: an entry is missing or cannot be decoded.
    """
    found = connection.execute(text("SELECT * FROM entries ORDER BY position"))
    for expected, row in enumerate(found):
        if row.position != expected:
            raise errors.LogDamaged(f"entry {expected} is missing", position=expected)
        yield _entry(row), bytes(row.leaf_hash)


def read_one(connection: Connection, position: int) -> LogEntry | None:
    """Return the entry at this position, if the log is long enough."""
    query = text("SELECT * FROM entries WHERE position = :position")
    row = connection.execute(query, {"position": position}).first()
    return None if row is None else _entry(row)


def read_after(connection: Connection, after: int, limit: int) -> list[LogEntry]:
    """Return the entries after position `after`, oldest first."""
    query = text("SELECT * FROM entries WHERE position > :after ORDER BY position LIMIT :limit")
    found = connection.execute(query, {"after": after, "limit": limit}).all()
    return [_entry(row) for row in found]


def position_before(connection: Connection, index: int) -> Position | None:
    """Return index and chaining hash of the newest entry with one, at or before ledger `index`.

    A binary search, because gateways choose the index: ledger indices ascend with the positions,
    and only the first entries of a log, with which it began, have no chaining hash.
    """
    query = text("SELECT ledger_index, chaining_hash FROM entries WHERE position = :position")

    def read(position: int) -> Row[tuple[int, str]]:
        return connection.execute(query, {"position": position}).one()

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
    return row.position if row else None


def _entry(row: Row[tuple[object, ...]]) -> LogEntry:
    try:
        decoded = event.decode(parse(row.event))
    except errors.DragonError as error:
        message = f"entry {row.position} cannot be decoded: {error}"
        raise errors.LogDamaged(message, position=row.position) from None
    return LogEntry(
        row.position,
        decoded,
        row.ledger_index,
        row.ledger_time,
        row.chaining_hash,
    )
