"""The table `blocks`: full blocks of sequences that only grow, derived from the entries.

A block never changes once it is full. It is read when something in it is needed, and compared with
its digest. Few blocks stay in memory.
"""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection

from dragon import errors
from dragon.log import columns, mark_records
from dragon.protocol.marks import Mark
from dragon.protocol.merkle import BLOCK_BYTES
from dragon.storage.database import Database

MAX_CACHED: Final = 256  # blocks of about 10 KB
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


class Blocks:
    """Reads the blocks of one log's file, and keeps those that were used last. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Called with damage before it is raised.
        self.on_damage: Callable[[errors.LogDamaged], None] = lambda _: None
        self._lock = threading.Lock()  # guards the next line
        self._cached: OrderedDict[tuple[str, int], object] = OrderedDict()

    def hashes(self, level: int, number: int) -> bytes:
        """Return a block of hashes of the Merkle tree. Raises LogDamaged."""
        return self._get(tree_series(level), number, _hashes)

    def marks(self, number: int) -> tuple[Mark, ...]:
        """Return a block of marks. Raises LogDamaged."""
        return self._get(MARKS, number, mark_records.from_bytes)

    def integers(self, series: str, number: int) -> array[int]:
        """Return a block of a column of integers. Raises LogDamaged."""
        return self._get(series, number, columns.from_bytes)

    def _get(self, series: str, number: int, decode: Callable[[bytes], T]) -> T:
        key = (series, number)
        with self._lock:
            if (found := self._cached.get(key)) is not None:
                self._cached.move_to_end(key)
                return found  # type: ignore[return-value]  # a series has one type
        try:
            with self._database.read() as connection:
                decoded = _decoded(decode, read(connection, series, number))
        except errors.LogDamaged as error:
            self.on_damage(error)
            raise
        with self._lock:
            self._cached[key] = decoded
            while len(self._cached) > MAX_CACHED:
                self._cached.popitem(last=False)
        return decoded


def _decoded(decode: Callable[[bytes], T], content: bytes) -> T:
    try:
        return decode(content)
    except ValueError as error:
        raise errors.LogDamaged(f"a block cannot be decoded{errors.because(error)}") from None


def _hashes(content: bytes) -> bytes:
    if len(content) != BLOCK_BYTES:
        raise ValueError("a block of hashes has another length")
    return content
