"""The rows of tables that are derived from the events in `entries`, in the database.

They serve queries only: no rule reads them, and the audit derives them again. Each kind of claim
defines the rows of its events (`Kind.rows`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar

from sqlalchemy import Connection, RowMapping, text

from dragon import errors
from dragon.encoding import Members, from_hex, to_hex
from dragon.log.derived_tables import derive
from dragon.protocol.claims.base import Claim, Table
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.claims.window import Statement, WindowClaim
from dragon.protocol.event import Event
from dragon.storage.database import Database

# Not `*`: SQLite then says which column a damaged schema lacks.
_WINDOW_COLUMNS: Final = (
    "position, stream, number, previous, header, "
    "verdict, reason, proof, parameters, timestamp, statement"
)
_ENDORSEMENT_COLUMNS: Final = "position, stream, first, last, verdict, note, expert, timestamp"

T = TypeVar("T")
C = TypeVar("C", bound=Claim)


def insert(cursor: sqlite3.Cursor, position: int, event: Event) -> None:
    """Write an applied event's rows, in the transaction that applies it."""
    for row in derive(position, event):
        cursor.execute(_insert(row.table), dict(row.values))


@cache
def _insert(table: Table) -> str:
    values = ", ".join(f":{column}" for column in table.columns)
    query = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({values})"  # noqa: S608
    if table.key is None:
        return query
    updates = ", ".join(f"{c} = excluded.{c}" for c in table.columns if c != table.key)
    return f"{query} ON CONFLICT ({table.key}) DO UPDATE SET {updates}"


class LogRow(NamedTuple):
    """A row of the table `logs`: one status event."""

    id: int
    node_id: str
    status: str
    timestamp: int  # Unix seconds
    signature: str

    @classmethod
    def of(cls, row: Sequence[Any]) -> LogRow:
        """Check the types of a row. Raises LogDamaged."""
        if tuple(map(type, row)) != (int, str, str, int, str):
            raise errors.LogDamaged(f"row {row[0]} of table logs has a value of a wrong type")
        return cls._make(row)


def log_rows(connection: Connection, node_id: str | None, after: int, limit: int) -> list[LogRow]:
    """Return rows of the table `logs` after row id `after`, oldest first.

    Args:
        node_id: return only this node's rows; None for all rows.
    """
    # Two queries, so that SQLite uses the index on `node_id`.
    one_node = "" if node_id is None else "AND node_id = :node_id "
    query = text(
        f"SELECT id, node_id, status, timestamp, signature FROM logs WHERE id > :after {one_node}"  # noqa: S608
        "ORDER BY id LIMIT :limit"
    )
    values: dict[str, object] = {"after": after, "limit": limit}
    if node_id is not None:
        values["node_id"] = node_id
    return [LogRow.of(row) for row in connection.execute(query, values)]


@dataclass(frozen=True, slots=True)
class Applied(Generic[C]):
    """The claim of an applied event, and the position of its entry."""

    position: int
    claim: C


def maintenance_rows(
    connection: Connection, node_id: str | None, after: int, limit: int
) -> list[Applied[MaintenanceClaim]]:
    """Return announced windows after a position of the log, oldest first. Raises LogDamaged.

    Args:
        node_id: return only this node's windows; None for all windows.
    """
    # Two queries, so that SQLite uses the index on `node_id`.
    one_node = "" if node_id is None else "AND node_id = :node_id "
    query = text(
        'SELECT position, node_id, begin AS "from", "end" AS "to", timestamp FROM maintenance '  # noqa: S608
        f"WHERE position > :after {one_node}ORDER BY position LIMIT :limit"
    )
    values: dict[str, object] = {"after": after, "limit": limit}
    if node_id is not None:
        values["node_id"] = node_id
    try:
        found = connection.execute(query, values).mappings()
        return list(map(_applied(MaintenanceClaim), found))
    except errors.InvalidEncoding as error:
        message = f"a row of table maintenance cannot be decoded{errors.because(error)}"
        raise errors.LogDamaged(message) from None


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stream with at least one valid window."""

    stream: bytes
    windows: int  # number of valid windows, which is the number of the next one
    header: bytes  # hash of the last valid window's header
    timestamp: int  # Unix seconds, of the last valid window's claim
    position: int  # of its event in the log

    @classmethod
    def of(cls, row: RowMapping) -> Self:
        stream, header = (
            from_hex(row[name], member=name, size=32) for name in ("stream", "header")
        )
        members = Members(dict(row), "the row")
        numbers = [members.integer(name) for name in ("windows", "timestamp", "position")]
        return cls(stream, numbers[0], header, *numbers[1:])


class StreamRecords:
    """Queries about streams in the log's file. Reads only.

    Every method raises LogDamaged if it meets damage.
    """

    def __init__(
        self,
        database: Database,
        on_damage: Callable[[errors.LogDamaged], None] = lambda _: None,
    ) -> None:
        """Args: on_damage: called with the error before it is raised."""
        self._database = database
        self._on_damage = on_damage

    def streams(self, after: bytes = b"", limit: int = 100) -> list[StreamRow]:
        """Return streams in the order of their ids, after the id `after`."""
        query = (
            "SELECT stream, windows, header, timestamp, position FROM streams "
            "WHERE stream > :after ORDER BY stream LIMIT :limit"
        )
        return self._read(query, StreamRow.of, after=to_hex(after), limit=limit)

    def windows(
        self, stream: bytes, first: int = 0, limit: int = 100
    ) -> list[Applied[WindowClaim]]:
        """Return the verdicts on a stream's windows, valid and invalid, from window `first` on."""
        query = (
            f"SELECT {_WINDOW_COLUMNS} FROM windows "  # noqa: S608
            "WHERE stream = :stream AND number >= :first "
            "ORDER BY number, position LIMIT :limit"
        )
        applied = _applied(WindowClaim)
        return self._read(query, applied, stream=to_hex(stream), first=first, limit=limit)

    def verdicts(self, stream: bytes, number: int, limit: int = 100) -> list[Applied[WindowClaim]]:
        """Return the verdicts on one window, valid and invalid, in the order of the log."""
        query = (
            f"SELECT {_WINDOW_COLUMNS} FROM windows "  # noqa: S608
            "WHERE stream = :stream AND number = :number "
            "ORDER BY position LIMIT :limit"
        )
        applied = _applied(WindowClaim)
        return self._read(query, applied, stream=to_hex(stream), number=number, limit=limit)

    def statements(self, stream: bytes) -> Mapping[Statement | None, int]:
        """Return how many valid windows of a stream have each statement."""
        query = "SELECT statement, windows FROM statement_counts WHERE stream = :stream"
        return dict(self._read(query, _statement_count, stream=to_hex(stream)))

    def unclaimed(self, stream: bytes, limit: int = 100) -> list[Applied[WindowClaim]]:
        """Return the newest valid windows that claim nothing about their readings, newest first."""
        query = (
            f"SELECT {_WINDOW_COLUMNS} FROM windows "  # noqa: S608
            "WHERE stream = :stream AND verdict = 'valid' AND statement = :statement "
            "ORDER BY number DESC LIMIT :limit"
        )
        found = {"stream": to_hex(stream), "statement": str(Statement.BLOCKS), "limit": limit}
        return self._read(query, _applied(WindowClaim), **found)

    def endorsements(
        self, stream: bytes, number: int | None = None, *, after: int = -1, limit: int = 100
    ) -> list[Applied[EndorsementClaim]]:
        """Return the endorsements of a stream, or of one of its windows, oldest first."""
        query = (
            f"SELECT {_ENDORSEMENT_COLUMNS} FROM endorsements "  # noqa: S608
            "WHERE stream = :stream AND position > :after "
            "AND (:number IS NULL OR :number BETWEEN first AND last) "
            "ORDER BY position LIMIT :limit"
        )
        values: dict[str, object] = {"stream": to_hex(stream), "number": number}
        return self._read(query, _applied(EndorsementClaim), after=after, limit=limit, **values)

    def _read(self, query: str, make: Callable[[RowMapping], T], **values: object) -> list[T]:
        try:
            with self._database.read() as connection:
                found: Sequence[RowMapping] = (
                    connection.execute(text(query), values).mappings().all()
                )
            return [make(row) for row in found]
        except (errors.InvalidEncoding, LookupError) as error:
            damaged = errors.LogDamaged(f"a derived row cannot be decoded{errors.because(error)}")
        except errors.LogDamaged as error:
            damaged = error
        self._on_damage(damaged)
        raise damaged


def _statement_count(row: RowMapping) -> tuple[Statement | None, int]:
    members, stated = Members(dict(row), "the row"), row["statement"]
    statement = None if stated == "" else Statement(members.word("statement", list(Statement)))
    return statement, members.integer("windows")


def _applied(claim: type[C]) -> Callable[[RowMapping], Applied[C]]:
    """Return a function that decodes a row into a claim, with the claim's own codecs."""

    def make(row: RowMapping) -> Applied[C]:
        present = {name: value for name, value in row.items() if value is not None}
        members = Members(present, "the row")
        return Applied(members.integer("position"), claim.take(members))

    return make
