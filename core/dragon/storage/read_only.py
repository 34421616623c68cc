"""SQLite files that belong to another process, such as a service that is running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from dragon.errors import LogDamaged
from dragon.storage import damage
from dragon.storage.sqlite_faults import sqlite_fault


class ReadOnlyDatabase:
    """One SQLite file that is read and never changed, nor created. No migration is applied."""

    def __init__(self, path: Path) -> None:
        self.path = path
        file = f"{path.absolute().as_uri()}?mode=ro&uri=true"
        self._engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view of the last commit. Raises LogDamaged: the file cannot be read."""
        try:
            with damage.guard(self.path), self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                yield connection
        except DatabaseError as error:
            message = f"{self.path} cannot be read: {sqlite_fault(error.orig)}"
            raise LogDamaged(message) from None
