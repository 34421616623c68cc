"""Connections of SQLite's own driver to one file, kept for their next use.

For what is read and written for every window: taking a connection from SQLAlchemy's pool and giving
it back takes more processor time than most statements.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MAX_IDLE_CONNECTIONS: Final = 8  # of one file; further ones are closed after use


class DriverConnections:
    """Connections to one file. Any thread may use them, each one by one thread at a time."""

    def __init__(self, path: Path, configure: Callable[[sqlite3.Connection], None]) -> None:
        """Open nothing yet. `configure`: is called with each new connection."""
        self._path, self._configure = path, configure
        self._lock = threading.Lock()  # guards the next two lines
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """A connection; what is not committed at the end of the block is rolled back.

        Raises sqlite3.Error.
        """
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._open()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close all connections; those in use when they are given back."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for connection in idle:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False)
        try:
            self._configure(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.rollback()
        except BaseException:
            connection.close()
            raise
        with self._lock:
            keep = not self._closed and len(self._idle) < MAX_IDLE_CONNECTIONS
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()
