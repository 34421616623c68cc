"""The table `blocks`: full blocks of sequences that only grow, derived from the entries.

A block never changes once it is full. It is read when something in it is needed, and compared with
its digest. Few blocks stay in memory.
"""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection

from dragon import errors
from dragon.log import columns, mark_records
from dragon.protocol.marks import Mark
from dragon.protocol.merkle import BLOCK_BYTES
from dragon.storage.database import Database

# Blocks of each type that stay in memory: 1, 7 and 8 MB.
MAX_HASHES_CACHED: Final = 128
MAX_MARKS_CACHED: Final = 512
MAX_INTEGERS_CACHED: Final = 1024
MARKS: Final = "marks"
_WRITE: Final = "INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)"
_READ: Final = "SELECT content, digest FROM blocks WHERE series = ? AND number = ?"

T = TypeVar("T")


def tree_series(level: int) -> str:
    """Return the name of the series with one level of the Merkle tree."""
    return f"tree_{level}"


def write(connection: Connection, series: str, number: int, content: bytes) -> None:
    """Write a block. One that is there already is replaced: it may be of a log that failed."""
    values = (series, number, content, _digest(series, number, content))
    connection.exec_driver_sql(_WRITE, values)


def read(connection: Connection, series: str, number: int) -> bytes:
    """Return a block. Raises LogDamaged: it is missing or was altered."""
    row = connection.exec_driver_sql(_READ, (series, number)).first()
    content, digest = row or (None, None)
    if type(content) is not bytes or _digest(series, number, content) != digest:
        why = "is missing" if row is None else "was altered on disk"
        raise errors.LogDamaged(f"block {number} of {series} {why}")
    return content


def _digest(series: str, number: int, content: bytes) -> bytes:
    return hashlib.sha256(b"%b\0%d\0%b" % (series.encode(), number, content)).digest()


class _Cache(Generic[T]):
    """The blocks of one type that were used last. Thread-safe."""

    def __init__(self, decode: Callable[[bytes], T], most: int) -> None:
        self._decode = decode
        self._most = most
        self._lock = threading.Lock()  # guards the next line
        self._cached: OrderedDict[tuple[str, int], T] = OrderedDict()

    def find(self, key: tuple[str, int]) -> T | None:
        with self._lock:
            if (found := self._cached.get(key)) is not None:
                self._cached.move_to_end(key)
            return found

    def add(self, key: tuple[str, int], content: bytes) -> T:
        """Decode a block and keep it. Raises LogDamaged."""
        decoded = _decoded(self._decode, content)
        with self._lock:
            self._cached[key] = decoded
            while len(self._cached) > self._most:
                self._cached.popitem(last=False)
        return decoded


class Blocks:
    """Reads the blocks of one log's file, and keeps those that were used last. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Called with damage before it is raised.
        self.on_damage: Callable[[errors.LogDamaged], None] = lambda _: None
        self._hashes = _Cache(_hashes, MAX_HASHES_CACHED)
        self._marks = _Cache(mark_records.PackedMarks, MAX_MARKS_CACHED)
        self._integers = _Cache(columns.from_bytes, MAX_INTEGERS_CACHED)

    def hashes(self, level: int, number: int) -> bytes:
        """Return a block of hashes of the Merkle tree. Raises LogDamaged."""
        return self._get(self._hashes, tree_series(level), number)

    def marks(self, number: int) -> Sequence[Mark]:
        """Return a block of marks. Raises LogDamaged."""
        return self._get(self._marks, MARKS, number)

    def integers(self, series: str, number: int) -> array[int]:
        """Return a block of a column of integers. Raises LogDamaged."""
        return self._get(self._integers, series, number)

    def _get(self, cache: _Cache[T], series: str, number: int) -> T:
        key = (series, number)
        if (found := cache.find(key)) is not None:
            return found
        try:
            with self._database.read() as connection:
                content = read(connection, series, number)
            return cache.add(key, content)
        except errors.LogDamaged as error:
            self.on_damage(error)
            raise


def _decoded(decode: Callable[[bytes], T], content: bytes) -> T:
    try:
        return decode(content)
    except ValueError as error:
        raise errors.LogDamaged(f"a block cannot be decoded{errors.because(error)}") from None


def _hashes(content: bytes) -> bytes:
    if len(content) != BLOCK_BYTES:
        raise ValueError("a block of hashes has another length")
    return content
