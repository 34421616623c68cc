"""What all access to `windows.db` shares: damage is reported with the stream that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection

from dragon.errors import ChunkDamaged, LogDamaged
from dragon.storage.database import Database
from dragon_stream.damage import Damage

FILE: Final = "windows.db"


class StreamTables:
    """The base of classes that read and write tables of streams."""

    def __init__(
        self,
        database: Database,
        on_damage: Callable[[bytes, Damage], None] = lambda _stream, _damage: None,
    ) -> None:
        """`on_damage` is told of damage; see `DamageReports.report`."""
        self._database = database
        self._on_damage = on_damage

    @contextmanager
    def _read(self, stream: bytes) -> Iterator[Connection]:
        with self._watched(stream), self._database.read() as connection:
            yield connection

    def _query(self, stream: bytes, sql: str, values: Mapping[str, object]) -> list[Any]:
        """The rows of one statement that only reads; see `Database.query`."""
        with self._watched(stream):
            return self._database.query(sql, values)

    @contextmanager
    def _write(self, stream: bytes) -> Iterator[Connection]:
        with self._watched(stream), self._database.write() as connection:
            yield connection

    @contextmanager
    def _watched(self, stream: bytes) -> Iterator[None]:
        """Turn what SQLite says of a damaged file into ChunkDamaged, which names the stream."""
        try:
            yield
        except LogDamaged as error:
            what = str(error).removeprefix(f"{self._database.path} ")
            raise self._damaged(stream, what) from None

    def _damaged(self, stream: bytes, what: str, **facts: object) -> ChunkDamaged:
        self._on_damage(stream, Damage(FILE, None, None, what))
        return ChunkDamaged(f"{FILE} {what}", **facts)
