"""Queries of the log's file: entries, derived rows and refused events."""

from __future__ import annotations

from collections.abc import Sequence

from dragon import errors
from dragon.log import entry_table, index_tables, refused_events
from dragon.log.index_tables import LogRow
from dragon.log.ledger import Position
from dragon.log.refused_events import Refusal
from dragon.protocol import event
from dragon.protocol.event import Event
from dragon.protocol.log_entry import LogEntry
from dragon.storage.database import Database


class LogQueries:
    """What the file of a log says. Reads only; any thread may call it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def entry(self, position: int) -> LogEntry:
        """Return the entry at this position. Raises NotFound: the log is shorter."""
        with self._database.read() as connection:
            entry = entry_table.read_one(connection, position)
        if entry is None:
            raise errors.NotFound(f"the log has no entry {position}", position=position)
        return entry

    def entries(self, after: int = -1, limit: int = 1000) -> list[LogEntry]:
        """Return the entries after position `after`, oldest first."""
        with self._database.read() as connection:
            return entry_table.read_after(connection, after, limit)

    def position_before(self, index: int) -> Position | None:
        """Return the ledger position of the newest entry at or before ledger index `index`.

        Only entries that this log has read from the ledger itself have one.
        """
        with self._database.read() as connection:
            return entry_table.position_before(connection, index)

    def find(self, event_: Event) -> int | None:
        """Return the position of the applied event with the same claim, if there is one."""
        with self._database.read() as connection:
            return entry_table.position_of(connection, event.root(event_))

    def rows(self, node_id: str | None, after: int, limit: int) -> list[LogRow]:
        """Return rows of the table `logs` after row id `after`, oldest first.

        Args:
            node_id: return only this node's rows; None for all rows.
        """
        with self._database.read() as connection:
            return index_tables.log_rows(connection, node_id, after, limit)

    def refusals(self) -> dict[str, int]:
        """Return the number of refused events by reason."""
        with self._database.read() as connection:
            return refused_events.counts(connection)

    def refused(self, limit: int = 100) -> Sequence[Refusal]:
        """Return the newest refused events, newest first."""
        with self._database.read() as connection:
            return refused_events.newest(connection, limit)

    def refused_before(self, before: int, limit: int) -> list[tuple[int, Refusal]]:
        """Return refused events with row ids below `before`, each with its row id, newest first."""
        with self._database.read() as connection:
            return refused_events.page_before(connection, before, limit)
