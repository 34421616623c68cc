"""SQLite, opened so that a commit survives `kill -9` and two threads never write at once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DatabaseError

from dragon.errors import DatabaseTooNew, DatabaseTooOld, DiskError, LogDamaged
from dragon.storage import damage
from dragon.storage.disk import Disk
from dragon.storage.driver_connections import DriverConnections
from dragon.storage.permissions import PRIVATE_FOLDER, make_folder
from dragon.storage.schema import is_behind
from dragon.storage.sqlite_faults import sqlite_fault


class Database:
    """One SQLite file. Readers see the last commit; writers take turns.

    `schemas` are the locations of Alembic scripts. Their tables are brought up to date when the
    file is opened. Each schema has its own version table, so schemas can change separately.
    `disk` is shared by the databases of one folder, so that a fault of it is logged once.

    Raises:
        LogDamaged: the file cannot be used. `write` and `read` raise it, too, when SQLite meets
            damage.
        DatabaseTooNew: a newer release has changed its schema.
        DatabaseTooOld: it has rows that a migration cannot convert.
        DiskFull, DiskFailed: nothing can be written beside the file. `write` and `read` raise
            these, too; after them the database is unchanged and can still be used.
    """

    def __init__(self, path: Path, *schemas: str, disk: Disk | None = None) -> None:
        self.path = path
        self.disk = disk or Disk(path.parent)
        self._writing = threading.RLock()
        url = URL.create("sqlite", database=str(path))  # a text with `?` or `%` would be decoded
        self._engine = create_engine(url, pool_size=8, max_overflow=24, pool_timeout=5)
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", _begin)
        self._driver = DriverConnections(path, _set_pragmas)
        try:
            with self.disk.guard():
                make_folder(path.parent, PRIVATE_FOLDER)
            # First: SQLite would map its shared memory into a file without blocks, and a process
            # that then touches it on a full disk dies of SIGBUS.
            self.disk.check()
            damage.check_header(path)
            for schema in schemas:
                if self._is_behind(schema):
                    self._upgrade(schema)
        except (DatabaseTooNew, DatabaseTooOld, DiskError, LogDamaged):
            self.close()
            raise
        except (DatabaseError, OSError) as error:
            self.close()
            if isinstance(error, DatabaseError):
                why: str | None = sqlite_fault(error.orig)
            else:
                why = error.strerror
            raise LogDamaged(f"{path} cannot be used: {why}") from None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the writer's lock from its first statement.

        Commits on the way out, rolls back if the block raises. When this returns the data is on
        disk (`synchronous=FULL`).
        """
        guards = damage.guard(self.path), self.disk.guard()
        with self._writing, guards[0], guards[1], self._engine.connect() as connection:
            connection.execution_options(dragon_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Cursor]:
        """A transaction as that of `write`, with the driver's own cursor.

        Costs a tenth of the processor time of `write`: for what is written for every window. Its
        errors are those of `sqlite3`, as far as they are none of this class.
        """
        guards = damage.guard(self.path), self.disk.guard()
        with (
            self._writing,
            guards[0],
            guards[1],
            self._driver.use() as connection,
            # An open cursor could keep its view of the file, which others would then read.
            closing(connection.cursor()) as cursor,
        ):
            cursor.execute("BEGIN IMMEDIATE")
            yield cursor
            cursor.execute("COMMIT")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view of the last commit."""
        guards = damage.guard(self.path), self.disk.guard()
        with guards[0], guards[1], self._engine.connect() as connection, connection.begin():
            yield connection

    def query(self, sql: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """The rows of one statement that only reads, from a consistent view of the last commit.

        Costs a tenth of the processor time of `read`: for what is asked for every window.

        Args:
            sql: the statement, with `:name` for each value.
        """
        with damage.guard(self.path), self.disk.guard(), self._driver.use() as connection:
            return connection.execute(sql, values).fetchall()

    def value(self, sql: str, values: Mapping[str, object]) -> Any:
        """The first value of the first row that `query` finds, or None."""
        rows = self.query(sql, values)
        return rows[0][0] if rows else None

    def close(self) -> None:
        self._driver.close()
        self._engine.dispose()

    def _is_behind(self, schema: str) -> bool:
        with self.read() as connection:
            return is_behind(
                schema, self.path, lambda sql: connection.exec_driver_sql(sql).fetchall()
            )

    def _upgrade(self, schema: str) -> None:
        # Here, because a service seldom needs it and would start 0.3 s later.
        from alembic import command  # noqa: PLC0415
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", schema)
        with self.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _configure(connection: Any, _record: object) -> None:
    _set_pragmas(connection)


def _set_pragmas(connection: sqlite3.Connection) -> None:
    connection.isolation_level = None  # transactions begin where we say, not at the first INSERT
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("dragon_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
