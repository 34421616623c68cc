"""What the tables beside `entries` hold: a row for each event, and one for each stream.

They are derived, and nothing is decided by them: the audit derives them again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from sqlalchemy import Connection, Row, text

from dragon.encoding import Json, to_hex
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.claims.stream_state import Stream
from dragon.protocol.claims.window import InvalidReason, Verdict, WindowClaim
from dragon.protocol.event import Event
from dragon.storage.database import Database

_T = TypeVar("_T")

_WINDOW: Final = ("position", "stream", "number", "previous", "header", "verdict", "reason")
_ENDORSEMENT: Final = ("position", "stream", "first", "last", "verdict", "note", "expert")

# Each table's columns in the order of the schema, and what it is read in the order of.
TABLES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "logs": (("node_id", "status", "timestamp", "signature"), "id"),
    "windows": ((*_WINDOW, "proof", "parameters", "timestamp"), "position"),
    "endorsements": ((*_ENDORSEMENT, "timestamp"), "position"),
    "streams": (("stream", "windows", "header", "timestamp", "position"), "stream"),
}


def derived(position: int, event: Event) -> tuple[str, dict[str, Json]] | None:
    """The table that an applied event has a row in, and that row; None for a checkpoint."""
    match event.claim:
        case StatusClaim() as claim:
            return "logs", {**claim.members(), "signature": to_hex(event.signature)}
        case WindowClaim() as claim:
            return "windows", {"position": position, **claim.members()}
        case EndorsementClaim() as claim:
            return "endorsements", {"position": position, **claim.members()}
        case _:
            return None


def of_stream(stream: Stream) -> dict[str, Json] | None:
    """A stream's own row; None while it has no valid window."""
    if stream.last is None:
        return None
    return {
        "stream": to_hex(stream.last.stream),
        "windows": stream.windows,
        "header": to_hex(stream.last.header),
        "timestamp": stream.last.timestamp,
        "position": stream.position,
    }


def file(connection: Connection, position: int, event: Event) -> None:
    """Write an applied event's rows, in the transaction that applies it."""
    found = derived(position, event)
    if found is None:
        return
    table, row = found
    connection.execute(text(_insert(table)), row)
    if isinstance(event.claim, WindowClaim) and event.claim.verdict is Verdict.VALID:
        own = of_stream(Stream(event.claim, position))
        connection.execute(
            text(
                _insert("streams") + " ON CONFLICT (stream) DO UPDATE SET "
                "windows = excluded.windows, header = excluded.header, "
                "timestamp = excluded.timestamp, position = excluded.position"
            ),
            own,
        )


def _insert(table: str) -> str:
    columns, _ = TABLES[table]
    values = ", ".join(f":{column}" for column in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stream as far as the log has it."""

    stream: bytes
    windows: int  # valid ones; the number of the next
    header: bytes  # hash of the last valid window's header
    timestamp: int
    position: int

    @classmethod
    def of(cls, row: Row[tuple[object, ...]]) -> Self:
        return cls(_raw(row.stream), row.windows, _raw(row.header), row.timestamp, row.position)


@dataclass(frozen=True, slots=True)
class Applied:
    """A claim of an applied event, and the position of its entry."""

    position: int
    claim: WindowClaim | EndorsementClaim


class StreamRecords:
    """What the log's file says about streams. Reads only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def streams(self, after: bytes = b"", limit: int = 100) -> list[StreamRow]:
        """In the order of their ids, behind `after`."""
        query = "SELECT * FROM streams WHERE stream > :after ORDER BY stream LIMIT :limit"
        return self._read(query, StreamRow.of, after=to_hex(after), limit=limit)

    def windows(self, stream: bytes, first: int = 0, limit: int = 100) -> list[Applied]:
        """VerdictStore on a stream's windows from number `first` on, valid and invalid."""
        query = (
            "SELECT * FROM windows WHERE stream = :stream AND number >= :first "
            "ORDER BY number, position LIMIT :limit"
        )
        return self._read(query, _window, stream=to_hex(stream), first=first, limit=limit)

    def endorsements(
        self, stream: bytes, number: int | None = None, *, after: int = -1, limit: int = 100
    ) -> list[Applied]:
        """What experts said of a stream, or of one of its windows, oldest first."""
        query = (
            "SELECT * FROM endorsements WHERE stream = :stream AND position > :after "
            "AND (:number IS NULL OR :number BETWEEN first AND last) "
            "ORDER BY position LIMIT :limit"
        )
        stream_id = to_hex(stream)
        return self._read(
            query, _endorsement, stream=stream_id, number=number, after=after, limit=limit
        )

    def _read(
        self, query: str, make: Callable[[Row[tuple[object, ...]]], _T], **values: object
    ) -> list[_T]:
        with self._database.read() as connection:
            found: Sequence[Row[tuple[object, ...]]] = connection.execute(text(query), values).all()
        return [make(row) for row in found]


def _window(row: Row[tuple[object, ...]]) -> Applied:
    claim = WindowClaim(
        _raw(row.stream),
        row.number,
        _raw(row.previous),
        _raw(row.header),
        Verdict(row.verdict),
        InvalidReason(row.reason),
        _raw(row.proof),
        row.parameters,
        row.timestamp,
    )
    return Applied(row.position, claim)


def _endorsement(row: Row[tuple[object, ...]]) -> Applied:
    claim = EndorsementClaim(
        _raw(row.stream),
        row.first,
        row.last,
        Verdict(row.verdict),
        _raw(row.note),
        row.expert,
        row.timestamp,
    )
    return Applied(row.position, claim)


def _raw(text_: str) -> bytes:
    return bytes.fromhex(text_[2:])
