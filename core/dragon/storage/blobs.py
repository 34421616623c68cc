"""Objects by SHA-256, within a quota: descriptors, window headers, chunk headers and proofs.

Objects of windows that are not yet decided are pinned, and so are descriptors. The others can be
evicted, oldest window first, from the stream that has the most evictable bytes. A stream therefore
displaces only itself, or a stream that has more. If there are more streams than shares and nothing
is evictable, a stream that has not written lately loses all its objects.

Anyone can create streams, so new streams have a part of the quota of their own. They displace each
other only, the one that has not written for longest first, and never a known stream.

A transaction takes a millisecond of processor time. What its sender sends again after a crash can
wait in memory for the next transaction (`put_later`).
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from dragon import errors
from dragon.storage.database import Database

SCHEMA: Final = "dragon.storage:migrations"
DESCRIPTOR_NUMBER: Final = -1  # stored instead of a window's number
STREAM_SHARES: Final = 64  # the pinned objects of a stream may use 1/64 of the quota
NEW_STREAMS_SHARE: Final = 8  # new streams together may use 1/8 of the quota
MAX_NEW_STREAMS: Final = 1024  # new streams with objects
ROW_OVERHEAD_BYTES: Final = 256  # added to the size of an object's body
MAX_WAITING_BYTES: Final = 1 << 20  # of objects that wait in memory; beyond, all are written


@dataclass(slots=True)
class _StreamBytes:
    evictable: int = 0
    pinned: int = 0

    @property
    def total(self) -> int:
        return self.evictable + self.pinned


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An object that is not on disk yet."""

    body: bytes
    numbers: dict[bytes, int] = field(default_factory=dict)  # of its windows, by stream


class ObjectStore:
    """The table of objects. Safe for threads. An object is any byte string, named by its hash."""

    def __init__(
        self,
        database: Database,
        max_bytes: int,
        is_known: Callable[[bytes], bool] | None = None,
    ) -> None:
        """Open the store.

        Args:
            max_bytes: the size of all bodies together, plus `ROW_OVERHEAD_BYTES` for each.
            is_known: whether a stream is known, by its id. None: all streams are, and no part of
                the quota is reserved for new ones.
        """
        self._database = database
        self._max_bytes = max_bytes
        self._max_new_bytes = max_bytes // NEW_STREAMS_SHARE if is_known else 0
        self._is_known = is_known or (lambda _: True)
        self._lock = threading.RLock()  # held while writing, so that counts and table agree
        self._held: dict[bytes, _StreamBytes] = {}  # ordered by last write, oldest first
        self._waiting: dict[bytes, _Waiting] = {}  # by SHA-256; replaced after they are written
        self._recount()

    def size(self) -> int:
        """The bytes that all objects on disk count for."""
        with self._lock:
            return sum(held.total for held in self._held.values())

    def get(self, sha256: bytes) -> bytes | None:
        """Return the object with this hash, or None."""
        if (waiting := self._waiting.get(sha256)) is not None:
            return waiting.body
        query = "SELECT body FROM objects WHERE sha256 = :sha256 LIMIT 1"
        body = self._database.value(query, {"sha256": sha256})
        return None if body is None else bytes(body)

    def length(self, sha256: bytes) -> int | None:
        """Return the number of bytes of the object with this hash, or None."""
        if (waiting := self._waiting.get(sha256)) is not None:
            return len(waiting.body)
        query = "SELECT size FROM objects WHERE sha256 = :sha256 LIMIT 1"
        size = self._database.value(query, {"sha256": sha256})
        return None if size is None else int(size) - ROW_OVERHEAD_BYTES

    def missing(self, stream: bytes, wanted: Iterable[bytes]) -> list[bytes]:
        """Those of the wanted hashes that are not stored for this stream.

        An object that only another stream has is missing too: it is evicted with that stream.
        """
        query = "SELECT 1 FROM objects WHERE sha256 = :sha256 AND stream = :stream"
        return [
            sha256
            for sha256 in wanted
            if not self._is_waiting(sha256, stream)
            and not self._database.query(query, {"sha256": sha256, "stream": stream})
        ]

    def _is_waiting(self, sha256: bytes, stream: bytes) -> bool:
        waiting = self._waiting.get(sha256)
        return waiting is not None and stream in waiting.numbers

    def put(self, stream: bytes, number: int, *bodies: bytes) -> bool:
        """Store objects of a window. They are on disk when this returns. Stored ones are skipped.

        Args:
            number: the window's number, or `DESCRIPTOR_NUMBER`.

        Returns whether any was not stored before.

        Raises:
            Busy: the pinned objects of the stream would exceed its share of the quota.
        """
        rows = {hashlib.sha256(body).digest(): body for body in bodies}
        with self._lock:
            new = self._new(stream, rows)
            if not new:
                self.write_waiting(*rows)
                return False
            self._write(stream, number, new)
        return True

    def put_later(self, stream: bytes, number: int, *bodies: bytes) -> bool:
        """Store objects of a window as `put`, but in memory until the next transaction.

        All methods see them already. A crash before that loses them, and so does a transaction that
        fails: only for what its sender sends again.
        """
        rows = {hashlib.sha256(body).digest(): body for body in bodies}
        with self._lock:
            new = self._new(stream, rows)
            waiting = sum(_size(each.body) for each in self._waiting.values())
            if waiting + sum(map(_size, new.values())) > MAX_WAITING_BYTES:
                self._write(stream, number, new)
            else:
                for sha256, body in new.items():
                    each = self._waiting.setdefault(sha256, _Waiting(body))
                    each.numbers[stream] = number
        return bool(new)

    def write_waiting(self, *wanted: bytes) -> None:
        """Write all objects that wait in memory, if one of the wanted hashes is among them."""
        with self._lock:
            if not self._waiting.keys().isdisjoint(wanted):
                with self._writing() as cursor:
                    self._evict(cursor)

    def _new(self, stream: bytes, rows: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Those bodies that are not stored for the stream. Raises Busy: no room for them."""
        new = {sha256: rows[sha256] for sha256 in self.missing(stream, rows)}
        size = sum(map(_size, new.values())) + sum(
            _size(each.body) for each in self._waiting.values() if stream in each.numbers
        )
        pinned = self._held.get(stream, _StreamBytes()).pinned
        if new and pinned + size > self._max_bytes // STREAM_SHARES:
            raise errors.Busy("the stream has too many objects of undecided windows")
        return new

    def _write(self, stream: bytes, number: int, new: Mapping[bytes, bytes]) -> None:
        with self._writing() as cursor:
            for sha256, body in new.items():
                self._insert(cursor, sha256, stream, number, body)
            self._evict(cursor)

    def release(self, stream: bytes, number: int) -> None:
        """Make the objects of the stream's windows up to this number evictable."""
        values = {"stream": stream, "number": number}
        which = "stream = :stream AND number BETWEEN 0 AND :number AND settled = 0"
        sum_ = f"SELECT SUM(size) FROM objects WHERE {which}"  # noqa: S608
        with self._lock:
            self.write_waiting(
                *(
                    sha256
                    for sha256, each in self._waiting.items()
                    if each.numbers.get(stream, number + 1) <= number
                )
            )
            # Mostly there is nothing to do, which needs no transaction. All writers hold the lock.
            size = self._database.value(sum_, values)
            if not size:
                return
            self._settle(stream, which, values, size)

    def _settle(self, stream: bytes, which: str, values: Mapping[str, object], size: int) -> None:
        with self._writing() as cursor:
            cursor.execute(f"UPDATE objects SET settled = 1 WHERE {which}", values)  # noqa: S608
            self._count(stream, evictable=False, size=-size)
            self._count(stream, evictable=True, size=size)
            self._evict(cursor)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Cursor]:
        """Run a transaction that also writes what waits. The caller evicts at its end.

        If it fails, count again, so that counts and table agree, and forget what waited.
        """
        with self._lock:
            try:
                with self._database.transaction() as cursor:
                    for sha256, each in self._waiting.items():
                        for stream, number in each.numbers.items():
                            self._insert(cursor, sha256, stream, number, each.body)
                    yield cursor
            except BaseException:
                self._recount()
                raise
            finally:
                self._waiting = {}  # not before: other threads read without the lock

    def _recount(self) -> None:
        query = (
            "SELECT stream, settled, SUM(size) FROM objects "
            "GROUP BY stream, settled ORDER BY MAX(rowid)"
        )
        found = self._database.query(query, {})
        with self._lock:
            self._held.clear()
            for stream, settled, size in found:
                self._count(bytes(stream), evictable=settled, size=size)
                self._held[bytes(stream)] = self._held.pop(bytes(stream))

    def _insert(
        self, cursor: sqlite3.Cursor, sha256: bytes, stream: bytes, number: int, body: bytes
    ) -> None:
        query = (
            "INSERT INTO objects (sha256, stream, number, size, body) "
            "VALUES (:sha256, :stream, :number, :size, :body)"
        )
        row = {"sha256": sha256, "stream": stream, "number": number, "size": _size(body)}
        cursor.execute(query, {**row, "body": body})
        self._count(stream, evictable=False, size=_size(body))
        self._held[stream] = self._held.pop(stream)  # it has written last

    def _evict(self, cursor: sqlite3.Cursor) -> None:
        """Delete objects until the quota is met, in the transaction that exceeded it."""
        new = [stream for stream in self._held if not self._is_known(stream)]
        self._evict_new(cursor, new)
        known = self._held.keys() - set(new)
        while sum(self._held[each].total for each in known) > self._max_bytes - self._max_new_bytes:
            stream = max(known, key=lambda each: self._held[each].evictable)
            if self._held[stream].evictable:
                self._drop_oldest(cursor, stream)
            elif oldest := [each for each in self._held if each in known][:-STREAM_SHARES]:
                self._drop(cursor, max(oldest, key=lambda each: self._held[each].pinned))
            else:
                return  # everything is pinned; `put` limits what each stream can add
            known &= self._held.keys()

    def _evict_new(self, cursor: sqlite3.Cursor, new: list[bytes]) -> None:
        """Delete new streams, oldest write first; the last one is limited by its own share."""
        used = sum(self._held[stream].total for stream in new)
        for place, stream in enumerate(new[:-1]):
            if used <= self._max_new_bytes and len(new) - place <= MAX_NEW_STREAMS:
                return
            used -= self._held[stream].total
            self._drop(cursor, stream)

    def _drop_oldest(self, cursor: sqlite3.Cursor, stream: bytes) -> None:
        """Delete the evictable objects of the stream's oldest window."""
        oldest = "SELECT MIN(number) FROM objects WHERE stream = :stream AND settled = 1"
        [number] = cursor.execute(oldest, {"stream": stream}).fetchone()
        which = "stream = :stream AND number = :number AND settled = 1"
        values = {"stream": stream, "number": number}
        query = f"SELECT SUM(size) FROM objects WHERE {which}"  # noqa: S608
        [size] = cursor.execute(query, values).fetchone()
        cursor.execute(f"DELETE FROM objects WHERE {which}", values)  # noqa: S608
        self._count(stream, evictable=True, size=-size)

    def _drop(self, cursor: sqlite3.Cursor, stream: bytes) -> None:
        """Delete all objects of a stream."""
        cursor.execute("DELETE FROM objects WHERE stream = :stream", {"stream": stream})
        del self._held[stream]

    def _count(self, stream: bytes, *, evictable: bool, size: int) -> None:
        held = self._held.setdefault(stream, _StreamBytes())
        if evictable:
            held.evictable += size
        else:
            held.pinned += size
        if not held.evictable and not held.pinned:
            del self._held[stream]


def _size(body: bytes) -> int:
    """The bytes that an object counts for."""
    return ROW_OVERHEAD_BYTES + len(body)
