"""The SQLite tables of the service: its streams and their closed windows."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, text

from dragon.encoding import parse
from dragon.errors import InvalidEncoding
from dragon.protocol.claims.window import Statement
from dragon.protocol.streams.chunks import decode_chunks
from dragon.protocol.streams.readings import Readings
from dragon.protocol.streams.window import WindowHeader
from dragon.storage.database import Database
from dragon_stream.chunk_readings import decode
from dragon_stream.damage import NO_STREAM, Damage
from dragon_stream.stream_tables import StreamTables
from dragon_stream.unfinished_windows import UnfinishedWindows, WindowSummary
from dragon_stream.window_state import WindowState

SCHEMA: Final = "dragon_stream:migrations"
DIGEST_BYTES: Final = 32  # SHA-256 of a chunk
_UNCHANGING: Final = ("stream", "number", "header", "signature", "first", "count", "bytes", "at",
                      "chunks", "digests", "closed_ms")  # fmt: skip
_COLUMNS: Final = (*_UNCHANGING, "state", "proof", "proofs", "position")  # of `own_windows`
_CHECKS: Final = ("crc", "proof_crc", "statement", "readings", "readings_crc")  # beside them
_WINDOWS: Final = (
    f"SELECT {', '.join(f'w.{name}' for name in _COLUMNS)}, "  # noqa: S608
    "c.crc, c.proof_crc, r.statement, r.readings, r.crc FROM own_windows w "
    "LEFT JOIN own_window_checks c ON c.stream = w.stream AND c.number = w.number "
    "LEFT JOIN own_window_readings r ON r.stream = w.stream AND r.number = w.number "
)


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
    readings: str | None = None  # the descriptor's member `readings` in canonical JSON
    # Whether windows grow with the rate of chunks; `window_chunks` is the smallest size then.
    adaptive: bool = False

    @property
    def hides_sizes(self) -> bool:
        """Whether only the owner may know how long the stream's data is.

        In a stream with readings the length of a message tells how many digits its number has, and
        its sign, whatever the proofs hide. So nothing public may count its bytes.
        """
        return self.readings is not None

    def decoded_readings(self) -> Readings | None:
        """The readings of the stream's descriptor. Raises InvalidEncoding, InvalidReadings."""
        return None if self.readings is None else Readings.from_json(parse(self.readings))

    def checksum(self) -> int:
        """CRC-32 of everything that never changes; what is absent counts as in earlier releases."""
        later = {"stopped", "readings", "adaptive"}
        values = [getattr(self, name) for name in StreamRow.__slots__ if name not in later]
        if self.readings is not None:
            values.append(self.readings)
        return checksum([*values, "adaptive"] if self.adaptive else values)


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
    statement: Statement | None = None  # what its proof states; None without readings
    readings: bytes | None = None  # see `dragon_stream.chunk_readings`; None without readings

    def summary(self) -> WindowSummary:
        """The window without its large fields."""
        header = self.header
        return WindowSummary(
            self.number, self.state, header.first, header.count, self.closed_ms, self.position
        )

    def lengths(self) -> list[int]:
        """The bytes of data in each chunk. Chunk headers do not tell them with readings."""
        if self.readings is not None:
            return [each.length for each in decode(self.readings)]
        return [chunk.length for chunk in decode_chunks(self.chunks)]


def digests_of(row: WindowRow) -> list[bytes]:
    """SHA-256 of the data of each chunk of a closed window."""
    raw = row.digests
    return [raw[at : at + DIGEST_BYTES] for at in range(0, len(raw), DIGEST_BYTES)]


def checksum(values: Sequence[object]) -> int:
    """CRC-32 of the values of a row, with their types and lengths."""
    crc = 0
    for value in values:
        raw = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        crc = zlib.crc32(raw, zlib.crc32(f"{type(value).__name__}:{len(raw)}:".encode(), crc))
    return crc


class Store(StreamTables):
    """Access to the tables.

    Methods that read or write a window raise ChunkDamaged if its row, or the file, is damaged.
    """

    def __init__(
        self,
        database: Database,
        on_damage: Callable[[bytes, Damage], None] = lambda _stream, _damage: None,
    ) -> None:
        """`on_damage` is told of damage; see `DamageReports.report`."""
        super().__init__(database, on_damage)
        self._unfinished = UnfinishedWindows(self._read_unfinished)

    # Streams

    def add_stream(self, row: StreamRow) -> None:
        names = StreamRow.__slots__  # the order of the columns
        columns = ", ".join(f":{name}" for name in names)
        values = {name: getattr(row, name) for name in names}
        check = text("INSERT INTO own_stream_checks VALUES (:stream, :crc)")
        with self._write(row.stream) as connection:
            connection.execute(text(f"INSERT INTO own_streams VALUES ({columns})"), values)  # noqa: S608
            connection.execute(check, {"stream": row.stream, "crc": row.checksum()})

    def streams(self) -> list[StreamRow]:
        """All streams, the oldest first. A row with a damaged id has the id NO_STREAM."""
        query = text("SELECT * FROM own_streams ORDER BY created_ms, name")
        with self._read(NO_STREAM) as connection:
            rows = [
                replace(StreamRow(*row), adaptive=bool(row.adaptive))
                for row in connection.execute(query)
            ]
        return [
            row if isinstance(row.stream, bytes) else replace(row, stream=NO_STREAM) for row in rows
        ]

    def is_whole(self, row: StreamRow) -> bool:
        """Whether a stream's row has its checksum. Rows of earlier releases have none."""
        if row.stream == NO_STREAM:
            return False
        query = text("SELECT crc FROM own_stream_checks WHERE stream = :stream")
        with self._read(row.stream) as connection:
            crc = connection.execute(query, {"stream": row.stream}).scalar()
        return crc in (None, row.checksum())

    def stop_stream(self, stream: bytes, why: str) -> None:
        """Record why a stream stopped. Only the first reason is kept."""
        query = text(
            "UPDATE own_streams SET stopped = :why WHERE stream = :stream AND stopped = ''"
        )
        with self._write(stream) as connection:
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
        crc = checksum([values[name] for name in _UNCHANGING])
        check = text(
            "INSERT INTO own_window_checks "
            "VALUES (:stream, :number, :crc, :proof_crc, LENGTH(:proof))"
        )
        proof_crc = None if row.proof is None else zlib.crc32(row.proof)
        checks = {"crc": crc, "proof_crc": proof_crc, "proof": row.proof}
        with self._unfinished.changing():
            with self._write(row.stream) as connection:
                connection.execute(query, values)
                connection.execute(check, {"stream": row.stream, "number": row.number, **checks})
                if row.readings is not None:
                    _add_readings(connection, row)
            self._unfinished.closed(row.stream, row.summary())

    def window(self, stream: bytes, number: int) -> WindowRow | None:
        """A closed window with its proof, if it has one; None if it is not closed yet."""
        query = "WHERE w.stream = :stream AND w.number = :number"
        return self._window(query, stream, number=number)

    def needed_window(self, stream: bytes, number: int) -> WindowRow:
        """A window that must exist. Raises ChunkDamaged: its row is damaged or missing."""
        found = self.window(stream, number)
        if found is None:
            raise self._damaged(stream, f"lacks window {number}", number=str(number))
        return found

    def last_window(self, stream: bytes) -> WindowRow | None:
        """The newest closed window; None if there is none."""
        return self._window("WHERE w.stream = :stream ORDER BY w.number DESC LIMIT 1", stream)

    def window_of(self, stream: bytes, sequence: int) -> WindowRow | None:
        """The closed window that holds a chunk."""
        # The last window that begins before the chunk, from the index, and then only its row.
        query = (
            "WHERE w.stream = :stream AND w.number = (SELECT number FROM own_windows "
            "WHERE stream = :stream AND first <= :sequence ORDER BY first DESC LIMIT 1) "
            "AND :sequence < w.first + w.count"
        )
        return self._window(query, stream, sequence=sequence)

    def summaries(self, stream: bytes, after: int, limit: int) -> list[WindowSummary]:
        """Windows with a number above `after`, in order."""
        where = "WHERE stream = :stream AND number > :after"
        return self._summaries(where, stream, after=after, limit=limit)

    def unfinished(self, stream: bytes, limit: int) -> list[WindowSummary]:
        """Windows that the log does not contain yet, in order."""
        return self._unfinished.first(stream, limit)

    def count_unfinished(self, stream: bytes) -> int:
        return self._unfinished.count(stream)

    def _read_unfinished(self, stream: bytes) -> list[WindowSummary]:
        # SQLite would otherwise read the summaries of all windows.
        where = (
            "INDEXED BY own_windows_by_state "
            "WHERE stream = :stream AND state IN ('closed', 'proven')"
        )
        return self._summaries(where, stream, limit=-1)

    def proof_sizes(self, stream: bytes, first: int, last: int) -> dict[int, int]:
        """The size of each window's last proof in bytes, even if it is deleted, by number.

        Windows that were not proven are left out, and so are deleted proofs of early releases.
        """
        query = text(
            "SELECT w.number, COALESCE(c.proof_bytes, LENGTH(w.proof)) FROM own_windows w "
            "LEFT JOIN own_window_checks c ON c.stream = w.stream AND c.number = w.number "
            "WHERE w.stream = :stream AND w.number BETWEEN :first AND :last "
            "AND w.state != 'closed'"
        )
        with self._read(stream) as connection:
            values = {"stream": stream, "first": first, "last": last}
            rows = connection.execute(query, values).all()
        return {number: size for number, size in rows if isinstance(size, int) and size >= 0}

    def check_states(self, stream: bytes) -> None:
        """Raises ChunkDamaged: a window's state is none of `WindowState`."""
        states = ", ".join(f"'{state}'" for state in WindowState)
        query = f"SELECT number FROM own_windows WHERE stream = :stream AND state NOT IN ({states})"  # noqa: S608
        with self._read(stream) as connection:
            number = connection.execute(text(query), {"stream": stream}).scalar()
        if number is not None:
            what = f"has a damaged row of window {number}"
            raise self._damaged(stream, what, number=str(number))

    def statements(self, stream: bytes, first: int, last: int) -> dict[int, str]:
        """What the proofs of these windows state, by number; empty in streams without readings."""
        query = text(
            "SELECT number, statement FROM own_window_readings "
            "WHERE stream = :stream AND number BETWEEN :first AND :last"
        )
        with self._read(stream) as connection:
            values = {"stream": stream, "first": first, "last": last}
            rows = connection.execute(query, values).all()
        return {number: statement for number, statement in rows if statement in list(Statement)}

    def certified(self, stream: bytes) -> int:
        """The number of windows up to the last certified one."""
        query = text(
            "SELECT MAX(number) FROM own_windows WHERE stream = :stream AND state = 'certified'"
        )
        with self._read(stream) as connection:
            number = connection.execute(query, {"stream": stream}).scalar()
        return 0 if number is None else int(number) + 1

    def prove(self, stream: bytes, number: int, proof: bytes) -> None:
        """Store the proof of a window, unless its verdict is known. It is on disk on return."""
        query = text(
            "UPDATE own_windows SET proof = :proof, proofs = proofs + 1, state = 'proven' "
            "WHERE stream = :stream AND number = :number AND state IN ('closed', 'proven')"
        )
        check = text(
            "UPDATE own_window_checks SET proof_crc = :crc, proof_bytes = :bytes "
            "WHERE stream = :stream AND number = :number"
        )
        checks = {"crc": zlib.crc32(proof), "bytes": len(proof)}
        where = {"stream": stream, "number": number}
        with self._unfinished.changing():
            with self._write(stream) as connection:
                changed = connection.execute(query, {**where, "proof": proof}).rowcount
                if changed:
                    connection.execute(check, {**where, **checks})
            if changed:
                self._unfinished.proven(stream, number)

    def certify(self, stream: bytes, number: int, position: int) -> None:
        """Note that the log has the certificate of a window, at this position."""
        query = text(
            "UPDATE own_windows SET state = 'certified', position = :position "
            "WHERE stream = :stream AND number = :number"
        )
        values = {"stream": stream, "number": number, "position": position}
        with self._unfinished.changing():
            with self._write(stream) as connection:
                connection.execute(query, values)
            self._unfinished.finished(stream, number)

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
        with self._unfinished.changing():
            with self._write(stream) as connection:
                connection.execute(query, values)
            self._unfinished.forget(stream)

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
        with self._write(stream) as connection:
            query = f"UPDATE own_windows SET proof = NULL WHERE {old} AND proof IS NOT NULL"  # noqa: S608
            connection.execute(text(query), values)
            query = (
                f"SELECT first + count FROM own_windows WHERE {old} ORDER BY number DESC LIMIT 1"  # noqa: S608
            )
            return int(connection.execute(text(query), values).scalar() or 0)

    def _window(self, where: str, stream: bytes, **values: object) -> WindowRow | None:
        rows = self._query(stream, _WINDOWS + where, {"stream": stream, **values})
        if not rows:
            return None
        row = dict(zip((*_COLUMNS, *_CHECKS), rows[0], strict=True))
        try:
            return _window(row)
        except (ValueError, TypeError, LookupError, AttributeError, InvalidEncoding):
            number = str(row["number"])
            what = f"has a damaged row of window {number}"
            raise self._damaged(stream, what, number=number) from None

    def _summaries(self, where: str, stream: bytes, **values: object) -> list[WindowSummary]:
        query = (
            "SELECT number, state, first, count, closed_ms, position FROM own_windows "  # noqa: S608
            f"{where} ORDER BY number LIMIT :limit"
        )
        rows = self._query(stream, query, {"stream": stream, **values})
        try:
            return [
                WindowSummary(number, WindowState(state), first, count, closed_ms, position)
                for number, state, first, count, closed_ms, position in rows
            ]
        except ValueError:
            raise self._damaged(stream, "has a window without a valid state") from None


def _add_readings(connection: Connection, row: WindowRow) -> None:
    values = {
        "stream": row.stream,
        "number": row.number,
        "statement": str(row.statement),
        "readings": row.readings,
    }
    query = "INSERT INTO own_window_readings VALUES (:stream, :number, :statement, :readings, :crc)"
    connection.execute(text(query), {**values, "crc": checksum([*values.values()])})


def _checked_readings(
    row: Mapping[str, Any], header: WindowHeader
) -> tuple[Statement, bytes] | tuple[None, None]:
    """Statement and readings of a window. Raises ValueError: they are damaged, or missing."""
    readings = row["readings"]
    if (header.claim is None) is not (readings is None):
        raise ValueError("the readings do not belong to the header")
    if readings is None:
        return None, None
    if row["readings_crc"] != checksum([row["stream"], row["number"], row["statement"], readings]):
        raise ValueError("the readings do not have their checksum")
    if len(decode(readings)) != header.count:
        raise ValueError("there is not one reading for each chunk")
    return Statement(row["statement"]), bytes(readings)


def _window(row: Mapping[str, Any]) -> WindowRow:
    """Raises ValueError, TypeError, InvalidEncoding: the row is damaged."""
    if row["crc"] is not None and row["crc"] != checksum([row[name] for name in _UNCHANGING]):
        raise ValueError("the row does not have its checksum")
    proof = row["proof"]
    if proof is not None and row["proof_crc"] not in (None, zlib.crc32(proof)):
        raise ValueError("the proof does not have its checksum")
    header = WindowHeader.from_json(parse(row["header"]))
    return WindowRow(
        row["stream"],
        row["number"],
        header,
        row["signature"],
        row["bytes"],
        row["at"],
        row["chunks"],
        row["digests"],
        row["closed_ms"],
        WindowState(row["state"]),
        proof,
        row["proofs"],
        row["position"],
        *_checked_readings(row, header),
    )
