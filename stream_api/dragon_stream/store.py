"""The SQLite tables of the service: its streams and their closed windows."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Row, text

from dragon.encoding import parse
from dragon.protocol.streams.window import WindowHeader
from dragon.storage.database import Database

SCHEMA: Final = "dragon_stream:migrations"


class WindowState(enum.StrEnum):
    """The progress of a window. A refuted proof takes it from PROVEN back to CLOSED."""

    CLOSED = "closed"  # header and signature are on disk
    PROVEN = "proven"  # the proof is on disk
    CERTIFIED = "certified"  # the log contains its certificate
    INVALID = "invalid"  # the log contains a certificate against it; the stream has stopped


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stream's settings, fixed when it was created."""

    stream: bytes
    name: str
    seed: bytes
    parameters: str
    chunk_bytes: int
    window_chunks: int
    window_ms: int
    mode: str  # "bytes" or "message"
    retention_seconds: int
    created_ms: int
    stopped: str = ""  # why it accepts nothing more; empty while it does


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A closed window."""

    stream: bytes
    number: int
    header: WindowHeader
    signature: bytes
    total: int  # bytes of the stream up to the window's end
    offset: int  # of the first chunk's record in its segment
    chunks: bytes  # all chunk headers, encoded as one object
    digests: bytes  # 32 bytes for each chunk
    closed_ms: int
    state: WindowState
    proof: bytes | None
    proofs: int  # number of proofs that were made for it
    position: int | None  # of its certificate in the log


@dataclass(frozen=True, slots=True)
class WindowSummary:
    """A window without its large fields."""

    number: int
    state: WindowState
    first: int
    count: int
    closed_ms: int
    position: int | None


class Store:
    """Access to both tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Streams

    def add_stream(self, row: StreamRow) -> None:
        columns = ", ".join(f":{name}" for name in StreamRow.__slots__)
        values = {name: getattr(row, name) for name in StreamRow.__slots__}
        with self._database.write() as connection:
            connection.execute(text(f"INSERT INTO own_streams VALUES ({columns})"), values)  # noqa: S608

    def streams(self) -> list[StreamRow]:
        """All streams, the oldest first."""
        query = text("SELECT * FROM own_streams ORDER BY created_ms, name")
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [StreamRow(bytes(r.stream), r.name, bytes(r.seed), *r[3:]) for r in rows]

    def stop_stream(self, stream: bytes, why: str) -> None:
        """Record why a stream stopped. Only the first reason is kept."""
        query = text(
            "UPDATE own_streams SET stopped = :why WHERE stream = :stream AND stopped = ''"
        )
        with self._database.write() as connection:
            connection.execute(query, {"stream": stream, "why": why})

    # Windows

    def close_window(self, row: WindowRow) -> None:
        """Store a window. It is on disk when this returns, and may be announced only then."""
        query = text(
            "INSERT INTO own_windows VALUES (:stream, :number, :header, :signature, :first, "
            ":count, :bytes, :at, :chunks, :digests, :closed_ms, :state, :proof, 0, NULL)"
        )
        values = {
            "stream": row.stream,
            "number": row.number,
            "header": row.header.encode().decode(),
            "signature": row.signature,
            "first": row.header.first,
            "count": row.header.count,
            "bytes": row.total,
            "at": row.offset,
            "chunks": row.chunks,
            "digests": row.digests,
            "closed_ms": row.closed_ms,
            "state": str(row.state),
            "proof": row.proof,
        }
        with self._database.write() as connection:
            connection.execute(query, values)

    def window(self, stream: bytes, number: int) -> WindowRow | None:
        query = "SELECT * FROM own_windows WHERE stream = :stream AND number = :number"
        return self._window(query, stream=stream, number=number)

    def last_window(self, stream: bytes) -> WindowRow | None:
        query = "SELECT * FROM own_windows WHERE stream = :stream ORDER BY number DESC LIMIT 1"
        return self._window(query, stream=stream)

    def window_of(self, stream: bytes, sequence: int) -> WindowRow | None:
        """The closed window that holds a chunk."""
        query = (
            "SELECT * FROM own_windows WHERE stream = :stream AND first <= :sequence "
            "AND :sequence < first + count ORDER BY first DESC LIMIT 1"
        )
        return self._window(query, stream=stream, sequence=sequence)

    def summaries(self, stream: bytes, after: int, limit: int) -> list[WindowSummary]:
        """Windows with a number above `after`, in order."""
        where = "stream = :stream AND number > :after"
        return self._summaries(where, stream=stream, after=after, limit=limit)

    def unfinished(self, stream: bytes, limit: int) -> list[WindowSummary]:
        """Windows that the log does not contain yet, in order."""
        where = "stream = :stream AND state IN ('closed', 'proven')"
        return self._summaries(where, stream=stream, limit=limit)

    def count_unfinished(self, stream: bytes) -> int:
        query = text(
            "SELECT COUNT(*) FROM own_windows WHERE stream = :stream "
            "AND state IN ('closed', 'proven')"
        )
        with self._database.read() as connection:
            return int(connection.execute(query, {"stream": stream}).scalar_one())

    def certified(self, stream: bytes) -> int:
        """The number of windows up to the last certified one."""
        query = text(
            "SELECT MAX(number) FROM own_windows WHERE stream = :stream AND state = 'certified'"
        )
        with self._database.read() as connection:
            number = connection.execute(query, {"stream": stream}).scalar()
        return 0 if number is None else int(number) + 1

    def prove(self, stream: bytes, number: int, proof: bytes) -> None:
        query = text(
            "UPDATE own_windows SET proof = :proof, proofs = proofs + 1, state = 'proven' "
            "WHERE stream = :stream AND number = :number AND state IN ('closed', 'proven')"
        )
        with self._database.write() as connection:
            connection.execute(query, {"stream": stream, "number": number, "proof": proof})

    def certify(self, stream: bytes, number: int, position: int) -> None:
        query = text(
            "UPDATE own_windows SET state = 'certified', position = :position "
            "WHERE stream = :stream AND number = :number"
        )
        values = {"stream": stream, "number": number, "position": position}
        with self._database.write() as connection:
            connection.execute(query, values)

    def refute(self, stream: bytes, number: int, *, final: bool) -> None:
        """Drop a proof that was found invalid.

        The window is closed again, or invalid if `final` is set.
        """
        state = WindowState.INVALID if final else WindowState.CLOSED
        query = text(
            "UPDATE own_windows SET state = :state, proof = NULL "
            "WHERE stream = :stream AND number = :number"
        )
        values = {"stream": stream, "number": number, "state": str(state)}
        with self._database.write() as connection:
            connection.execute(query, values)

    def forget_proofs(self, stream: bytes, before_ms: int) -> int:
        """Delete the proofs of certified windows that were closed before then.

        Args:
            stream: the stream's id.
            before_ms: Unix milliseconds.

        Returns:
            The sequence of the first chunk that must be kept.
        """
        old = "stream = :stream AND state = 'certified' AND closed_ms < :before"
        values = {"stream": stream, "before": before_ms}
        with self._database.write() as connection:
            query = f"UPDATE own_windows SET proof = NULL WHERE {old} AND proof IS NOT NULL"  # noqa: S608
            connection.execute(text(query), values)
            query = f"SELECT MAX(first + count) FROM own_windows WHERE {old}"  # noqa: S608
            return int(connection.execute(text(query), values).scalar() or 0)

    def _window(self, query: str, **values: object) -> WindowRow | None:
        with self._database.read() as connection:
            row = connection.execute(text(query), values).first()
        return _window(row) if row else None

    def _summaries(self, where: str, **values: object) -> list[WindowSummary]:
        query = (
            "SELECT number, state, first, count AS chunks, closed_ms, position FROM own_windows "  # noqa: S608
            f"WHERE {where} ORDER BY number LIMIT :limit"
        )
        with self._database.read() as connection:
            rows: Sequence[Row[tuple[object, ...]]] = connection.execute(text(query), values).all()
        return [
            WindowSummary(
                r.number, WindowState(r.state), r.first, r.chunks, r.closed_ms, r.position
            )
            for r in rows
        ]


def _window(row: Row[tuple[object, ...]]) -> WindowRow:
    return WindowRow(
        bytes(row.stream),
        row.number,
        WindowHeader.from_json(parse(row.header)),
        bytes(row.signature),
        row.bytes,
        row.at,
        bytes(row.chunks),
        bytes(row.digests),
        row.closed_ms,
        WindowState(row.state),
        None if row.proof is None else bytes(row.proof),
        row.proofs,
        row.position,
    )
