"""SQLite files that belong to another process, such as a service that is running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.pool import NullPool

from dragon.storage import damage


def read_only_url(path: Path) -> URL:
    """Return how SQLAlchemy opens a file that it must neither change nor create."""
    # SQLite decodes the path. Put together from parts, because a text would be decoded before.
    return URL.create(
        "sqlite", database=path.absolute().as_uri(), query={"mode": "ro", "uri": "true"}
    )


class ReadOnlyDatabase:
    """One SQLite file that is read and never changed, nor created. No migration is applied."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = create_engine(read_only_url(path), poolclass=NullPool)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view of the last commit. Raises LogDamaged: the file cannot be read."""
        with (
            damage.unreadable(f"{self.path} cannot be read"),
            damage.guard(self.path),
            self._engine.connect() as connection,
        ):
            connection.exec_driver_sql("BEGIN")
            yield connection
