"""Objects by their SHA-256: descriptors, window headers, chunk headers, proofs. Within a quota.

What belongs to a window that is not settled stays, and so do descriptors; the rest goes, oldest
first, from the stream that holds most. So a stream can only ever displace itself, or one that
holds more. Of more streams than there are shares, one that has fallen silent goes altogether.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from dragon import errors
from dragon.storage.database import Database

SCHEMA: Final = "dragon.storage:migrations"
DESCRIPTOR_NUMBER: Final = -1  # in the place of a window's number
STREAM_SHARES: Final = 64  # an unsettled stream may hold this part of the quota
ROW_OVERHEAD_BYTES: Final = 256  # bytes that an object counts for beside its body


@dataclass(slots=True)
class _Held:
    settled: int = 0  # bytes
    unsettled: int = 0


class ObjectStore:
    """The table. Safe for threads; bodies are bytes of any kind, named by their hash alone."""

    def __init__(self, database: Database, most: int) -> None:
        """`most`: bytes of all bodies together, with `ROW_OVERHEAD_BYTES` for each."""
        self._database = database
        self._most = most
        self._lock = threading.RLock()  # held while writing, so that the counts are the table's
        self._held: dict[bytes, _Held] = {}  # that which was given something last stands last
        self._recount()

    def size(self) -> int:
        with self._lock:
            return sum(held.settled + held.unsettled for held in self._held.values())

    def get(self, sha256: bytes) -> bytes | None:
        query = text("SELECT body FROM objects WHERE sha256 = :sha256 LIMIT 1")
        with self._database.read() as connection:
            body = connection.execute(query, {"sha256": sha256}).scalar()
        return None if body is None else bytes(body)

    def missing(self, stream: bytes, wanted: Iterable[bytes]) -> list[bytes]:
        """Those that are not here for that stream: what another one has may go with it."""
        query = text("SELECT 1 FROM objects WHERE sha256 = :sha256 AND stream = :stream")
        with self._database.read() as connection:
            return [
                sha256
                for sha256 in wanted
                if connection.execute(query, {"sha256": sha256, "stream": stream}).scalar() is None
            ]

    def put(self, stream: bytes, number: int, *bodies: bytes) -> None:
        """Keep these; they are on disk when this returns. Known ones are left alone.

        Raises Busy: what the stream holds of windows that are not settled is enough already.
        """
        rows = {hashlib.sha256(body).digest(): body for body in bodies}
        with self._lock:
            new = {sha256: rows[sha256] for sha256 in self.missing(stream, rows)}
            size = sum(ROW_OVERHEAD_BYTES + len(body) for body in new.values())
            unsettled = self._held.get(stream, _Held()).unsettled
            if new and unsettled + size > self._most // STREAM_SHARES:
                raise errors.Busy("that stream holds too much that is not settled")
            if not new:
                return
            with self._writing() as connection:
                for sha256, body in new.items():
                    self._insert(connection, sha256, stream, number, body)
                self._held[stream] = self._held.pop(stream)
                self._evict(connection)

    def release(self, stream: bytes, number: int) -> None:
        """The stream's windows up to this number may go when there is no more room."""
        values = {"stream": stream, "number": number}
        which = "stream = :stream AND number BETWEEN 0 AND :number AND settled = 0"
        with self._writing() as connection:
            query = text(f"SELECT SUM(size) FROM objects WHERE {which}")  # noqa: S608
            size = connection.execute(query, values).scalar() or 0
            if not size:
                return
            connection.execute(text(f"UPDATE objects SET settled = 1 WHERE {which}"), values)  # noqa: S608
            self._count(stream, settled=False, size=-size)
            self._count(stream, settled=True, size=size)
            self._evict(connection)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction; the counts follow it, also where it comes to nothing."""
        with self._lock:
            try:
                with self._database.write() as connection:
                    yield connection
            except BaseException:
                self._recount()
                raise

    def _recount(self) -> None:
        query = (
            "SELECT stream, settled, SUM(size) AS bytes, MAX(rowid) AS newest FROM objects "
            "GROUP BY stream, settled ORDER BY newest"
        )
        with self._database.read() as connection:
            found = connection.execute(text(query)).all()
        with self._lock:
            self._held.clear()
            for row in found:
                self._count(bytes(row.stream), settled=row.settled, size=row.bytes)
                self._held[bytes(row.stream)] = self._held.pop(bytes(row.stream))

    def _insert(
        self, connection: Connection, sha256: bytes, stream: bytes, number: int, body: bytes
    ) -> None:
        query = text(
            "INSERT INTO objects (sha256, stream, number, size, body) "
            "VALUES (:sha256, :stream, :number, :size, :body)"
        )
        row = {
            "sha256": sha256,
            "stream": stream,
            "number": number,
            "size": ROW_OVERHEAD_BYTES + len(body),
        }
        connection.execute(query, {**row, "body": body})
        self._count(stream, settled=False, size=ROW_OVERHEAD_BYTES + len(body))

    def _evict(self, connection: Connection) -> None:
        """In the transaction that made it too much."""
        while self.size() > self._most:
            stream = max(self._held, key=lambda each: self._held[each].settled)
            if self._held[stream].settled:
                self._drop_oldest(connection, stream)
            elif silent := list(self._held)[:-STREAM_SHARES]:
                self._drop(connection, max(silent, key=lambda each: self._held[each].unsettled))
            else:
                return  # nothing may go; what is to come is bounded by `put`

    def _drop_oldest(self, connection: Connection, stream: bytes) -> None:
        """What is settled of the stream's oldest window."""
        oldest = text("SELECT MIN(number) FROM objects WHERE stream = :stream AND settled = 1")
        number = connection.execute(oldest, {"stream": stream}).scalar_one()
        which = "stream = :stream AND number = :number AND settled = 1"
        values = {"stream": stream, "number": number}
        query = text(f"SELECT SUM(size) FROM objects WHERE {which}")  # noqa: S608
        size = connection.execute(query, values).scalar_one()
        connection.execute(text(f"DELETE FROM objects WHERE {which}"), values)  # noqa: S608
        self._count(stream, settled=True, size=-size)

    def _drop(self, connection: Connection, stream: bytes) -> None:
        """All of a stream."""
        connection.execute(text("DELETE FROM objects WHERE stream = :stream"), {"stream": stream})
        del self._held[stream]

    def _count(self, stream: bytes, *, settled: bool, size: int) -> None:
        held = self._held.setdefault(stream, _Held())
        if settled:
            held.settled += size
        else:
            held.unsettled += size
        if not held.settled and not held.unsettled:
            del self._held[stream]
