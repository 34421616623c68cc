"""The SQLite tables of the archive: which objects it holds, and which proofs they hold.

A row is on disk before its object is uploaded, so each object in the archive is known here. An
object counts as stored only after it was read back; only then may anything local be deleted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from dragon.storage.database import Database
from dragon_stream.archive.objects import ArchivedObject, Kind, State
from dragon_stream.damage import Damage
from dragon_stream.store import checksum
from dragon_stream.stream_tables import StreamTables

SCHEMA: Final = "dragon_stream.archive:migrations"
_KEY: Final = "stream = :stream AND kind = :kind AND first = :first"


@dataclass(frozen=True, slots=True)
class ArchivedProof:
    """Where one window's proof lies in its object."""

    number: int
    first: int  # window of the object
    at: int  # byte in it
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Total:
    """Objects of one stream, of one kind and state."""

    stream: bytes
    kind: Kind
    state: State
    objects: int
    size: int
    local: int  # bytes that the disk may still hold


class ArchiveIndex(StreamTables):
    """Access to the tables. All methods raise ChunkDamaged if a row, or the file, is damaged."""

    def __init__(
        self,
        database: Database,
        on_damage: Callable[[bytes, Damage], None] = lambda _stream, _damage: None,
    ) -> None:
        super().__init__(database, on_damage)
        self._lock = threading.Lock()  # guards the next line
        # Streams that have, or had, an archived segment; None before it is read.
        self._has_segments: set[bytes] | None = None

    # Objects

    def find(self, stream: bytes, kind: Kind, first: int) -> ArchivedObject | None:
        """The object of a kind that begins with chunk or window `first`; None if there is none."""
        found = self._objects(stream, f"WHERE {_KEY}", kind=str(kind), first=first)
        return found[0] if found else None

    def objects(
        self, stream: bytes, kind: Kind, *states: State, since: int = 0, limit: int = -1
    ) -> list[ArchivedObject]:
        """The objects of a stream in these states whose `first` is at least `since`, in order.

        `limit`: how many; all if it is negative.
        """
        listed = ", ".join(f"'{state}'" for state in states)
        where = (
            f"WHERE stream = :stream AND kind = :kind AND first >= :since AND state IN ({listed}) "
            "ORDER BY first LIMIT :limit"
        )
        return self._objects(stream, where, kind=str(kind), since=since, limit=limit)

    def oldest_local(self, streams: Collection[bytes], limit: int) -> list[ArchivedObject]:
        """Stored objects of these streams that the disk still holds, the oldest first."""
        listed = ", ".join(f"X'{stream.hex()}'" for stream in streams)
        where = (
            f"WHERE state = 'stored' AND is_local = 1 AND stream IN ({listed}) "
            "ORDER BY newest_ms, first LIMIT :limit"
        )
        return self._objects(b"", where, limit=limit)

    def local_proof_bytes(self) -> int:
        """Bytes of the objects with proofs that the database still holds, of all streams."""
        query = text(
            "SELECT SUM(bytes) FROM own_archived INDEXED BY own_archived_by_age "
            "WHERE state IN ('pending', 'stored') AND is_local = 1 AND kind = 'proofs'"
        )
        with self._read(b"") as connection:
            return int(connection.execute(query).scalar() or 0)

    def segment_names(self, stream: bytes, low: int, high: int) -> list[int]:
        """The first chunks of stored segments: the last one up to `low`, and all up to `high`."""
        if stream not in self._streams_with_segments():
            return []  # without a query, which each read of a chunk would need
        where = "stream = :stream AND kind = 'segment' AND state = 'stored'"
        query = text(
            f"SELECT first FROM own_archived WHERE {where} AND first <= :high AND first >= "  # noqa: S608
            f"COALESCE((SELECT MAX(first) FROM own_archived WHERE {where} AND first <= :low), 0) "
            "ORDER BY first"
        )
        with self._read(stream) as connection:
            values = {"stream": stream, "low": low, "high": high}
            return [int(row[0]) for row in connection.execute(query, values)]

    def _streams_with_segments(self) -> set[bytes]:
        with self._lock:
            if self._has_segments is None:
                query = text("SELECT DISTINCT stream FROM own_archived WHERE kind = 'segment'")
                with self._read(b"") as connection:
                    self._has_segments = {bytes(row[0]) for row in connection.execute(query)}
            return self._has_segments

    def archived_chunks(self, stream: bytes) -> int:
        """All chunks before this one that the retention keeps are in the archive, without a gap."""
        end: int | None = None
        for found in self.objects(stream, Kind.SEGMENT, State.STORED):
            if end not in {None, found.first}:
                break
            end = found.last + 1
        return end or 0

    def add(self, found: ArchivedObject) -> None:
        """Note an object that will be uploaded. It is on disk when this returns."""
        query = text(
            "INSERT INTO own_archived VALUES "
            "(:stream, :kind, :first, :last, :sha256, :bytes, :newest_ms, :crc, 'pending', 1)"
        )
        if found.kind is Kind.SEGMENT:
            streams = self._streams_with_segments()
            with self._lock:
                streams.add(found.stream)
        with self._write(found.stream) as connection:
            connection.execute(query, {**_fixed(found), "crc": _crc(found)})

    def mark_stored(self, found: ArchivedObject, proofs: Sequence[ArchivedProof] = ()) -> None:
        """Note that an object was read back, with the places of the proofs in it."""
        query = text(
            "INSERT INTO own_archived_proofs VALUES "
            "(:stream, :number, :object, :at, :bytes, :sha256, :crc)"
        )
        with self._write(found.stream) as connection:
            for proof in proofs:
                values = _proof_values(found.stream, proof)
                connection.execute(query, {**values, "crc": checksum([*values.values()])})
            self._set(connection, found, "state = 'stored'")

    def mark_pending(self, found: ArchivedObject) -> None:
        """Note that the archive has lost an object that the disk still holds."""
        with self._write(found.stream) as connection:
            self._delete_proofs(connection, found)
            self._set(connection, found, "state = 'pending'")

    def mark_expired(self, found: ArchivedObject) -> None:
        """Note that the retention time of an object has ended: it is read no more."""
        with self._write(found.stream) as connection:
            self._delete_proofs(connection, found)
            self._set(connection, found, "state = 'expired'")

    def mark_remote(self, found: ArchivedObject) -> None:
        """Note that only the archive holds an object; delete the same proofs in the database."""
        query = text(
            "UPDATE own_windows SET proof = NULL WHERE stream = :stream AND number IN "
            "(SELECT number FROM own_archived_proofs WHERE stream = :stream AND object = :first "
            "AND number BETWEEN :first AND :last)"
        )
        with self._write(found.stream) as connection:
            if found.kind is Kind.PROOFS:
                values = {"stream": found.stream, "first": found.first, "last": found.last}
                connection.execute(query, values)
            self._set(connection, found, "is_local = 0")

    def drop(self, found: ArchivedObject) -> None:
        """Forget an object that the archive does not hold any more."""
        with self._write(found.stream) as connection:
            self._delete_proofs(connection, found)
            connection.execute(text(f"DELETE FROM own_archived WHERE {_KEY}"), _key(found))  # noqa: S608

    def totals(self) -> list[Total]:
        query = text(
            "SELECT stream, kind, state, COUNT(*), SUM(bytes), SUM(bytes * is_local) "
            "FROM own_archived GROUP BY stream, kind, state"
        )
        with self._read(b"") as connection:
            rows = connection.execute(query).all()
        try:
            return [
                Total(bytes(s), Kind(k), State(t), n, b, local) for s, k, t, n, b, local in rows
            ]
        except (ValueError, TypeError):
            raise self._damaged(b"", "has a damaged row of an archived object") from None

    # Proofs

    def proof(self, stream: bytes, number: int) -> ArchivedProof | None:
        """Where the archive has a window's proof; None if it has none."""
        query = text(
            "SELECT * FROM own_archived_proofs WHERE stream = :stream AND number = :number"
        )
        with self._read(stream) as connection:
            row = connection.execute(query, {"stream": stream, "number": number}).first()
        if row is None:
            return None
        found = ArchivedProof(row.number, row.object, row.at, row.bytes, row.sha256)
        if row.crc != checksum([*_proof_values(stream, found).values()]):
            raise self._damaged(stream, f"has a damaged row of the archived proof {number}")
        return found

    def last_window(self, stream: bytes) -> int:
        """The last window in an object of proofs, or -1."""
        query = text(
            "SELECT MAX(last) FROM own_archived WHERE stream = :stream AND kind = 'proofs'"
        )
        with self._read(stream) as connection:
            found = connection.execute(query, {"stream": stream}).scalar()
        return -1 if found is None else int(found)

    # Rows

    def _objects(self, stream: bytes, where: str, **values: object) -> list[ArchivedObject]:
        query = text(f"SELECT * FROM own_archived {where}")  # noqa: S608
        with self._read(stream) as connection:
            rows = connection.execute(query, {"stream": stream, **values}).all()
        try:
            return [_object(row) for row in rows]
        except (ValueError, TypeError):
            raise self._damaged(stream, "has a damaged row of an archived object") from None

    def _set(self, connection: Connection, found: ArchivedObject, what: str) -> None:
        connection.execute(text(f"UPDATE own_archived SET {what} WHERE {_KEY}"), _key(found))  # noqa: S608

    def _delete_proofs(self, connection: Connection, found: ArchivedObject) -> None:
        query = text(
            "DELETE FROM own_archived_proofs WHERE stream = :stream AND object = :first "
            "AND number BETWEEN :first AND :last"
        )
        if found.kind is Kind.PROOFS:
            values = {"stream": found.stream, "first": found.first, "last": found.last}
            connection.execute(query, values)


def _key(found: ArchivedObject) -> dict[str, object]:
    return {"stream": found.stream, "kind": str(found.kind), "first": found.first}


def _fixed(found: ArchivedObject) -> dict[str, object]:
    """What never changes."""
    return {
        **_key(found),
        "last": found.last,
        "sha256": found.sha256,
        "bytes": found.size,
        "newest_ms": found.newest_ms,
    }


def _crc(found: ArchivedObject) -> int:
    return checksum([*_fixed(found).values()])


def _proof_values(stream: bytes, proof: ArchivedProof) -> dict[str, object]:
    return {
        "stream": stream,
        "number": proof.number,
        "object": proof.first,
        "at": proof.at,
        "bytes": proof.size,
        "sha256": proof.sha256,
    }


def _object(row: Row[Any]) -> ArchivedObject:
    """Raises ValueError, TypeError: the row is damaged."""
    found = ArchivedObject(
        bytes(row.stream),
        Kind(row.kind),
        row.first,
        row.last,
        bytes(row.sha256),
        row.bytes,
        row.newest_ms,
        State(row.state),
        bool(row.is_local),
    )
    if row.crc != _crc(found):
        raise ValueError("the row does not have its checksum")
    return found
