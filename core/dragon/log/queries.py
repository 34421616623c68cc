"""Queries of the log's file: entries, derived rows and refused events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from dragon import errors
from dragon.log import committee_table, entry_table, index_tables, refused_events
from dragon.log.committee_table import StoredFile
from dragon.log.index_tables import Applied, LogRow
from dragon.log.ledger import Position
from dragon.log.refused_events import Refusal
from dragon.protocol import event
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event
from dragon.protocol.handover import Handover
from dragon.protocol.log_entry import LogEntry
from dragon.storage.database import Database

MAX_COMMITTEES: Final = 4096


@dataclass(frozen=True, slots=True)
class Seating:
    """A committee that has held in the log, and how it took its seat."""

    committee: Committee
    handover: Handover | None  # None in epoch 0
    position: int | None  # of the handover in the log


@dataclass(frozen=True, slots=True)
class EncodedSeating:
    """The same, encoded in canonical JSON."""

    epoch: int
    committee: bytes
    handover: bytes  # `null` in epoch 0
    position: int | None

    def to_json(self) -> bytes:
        """Return the row of `GET /lineage`."""
        return b'{"committee":%b,"epoch":%d,"handover":%b,"position":%b}' % (
            self.committee,
            self.epoch,
            self.handover,
            b"null" if self.position is None else b"%d" % self.position,
        )


class LogQueries:
    """What the file of a log says. Reads only; any thread may call it.

    Every method raises LogDamaged if it meets damage.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def note_damage(self, error: errors.LogDamaged) -> None:
        """Take note of damage that a query has met."""

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        try:
            with self._database.read() as connection:
                yield connection
        except errors.LogDamaged as error:
            self.note_damage(error)
            raise

    def entry(self, position: int) -> LogEntry:
        """Return the entry at this position. Raises NotFound: the log is shorter."""
        with self._read() as connection:
            found = entry_table.read_one(connection, position)
            entry = found.to_entry() if found else None
        if entry is None:
            raise errors.NotFound(f"the log has no entry {position}", position=position)
        return entry

    def entries(self, after: int = -1, limit: int = 1000) -> list[LogEntry]:
        """Return the entries after position `after`, oldest first."""
        with self._read() as connection:
            return [each.to_entry() for each in entry_table.read_after(connection, after, limit)]

    def entries_page(
        self, after: int, limit: int, max_bytes: int
    ) -> tuple[list[bytes], int | None]:
        """Return one page of entries after position `after`, each in its published form (JSON).

        The cost is that of the page's bytes: no entry is decoded, and none is read that does not
        fit into the page. A page has at least one entry.

        Returns the entries, and the last position if more entries follow, else None.
        """
        page: list[bytes] = []
        left, last = max_bytes, None
        with self._read() as connection:
            for entry in entry_table.read_after(connection, after, limit + 1):
                shown = entry.to_json()
                left -= len(shown)
                if page and (left < 0 or len(page) == limit):
                    return page, last
                page.append(shown)
                last = entry.position
        return page, None

    def committees(self, after: int = -1, limit: int = MAX_COMMITTEES) -> list[Seating]:
        """Return the committees after an epoch that have held in this log, oldest first."""
        with self._read() as connection:
            found = committee_table.read_after(connection, after, limit)
            return [Seating(each, self._handover(connection, at), at) for each, at in found]

    def lineage_page(
        self, after: int, limit: int, max_bytes: int
    ) -> tuple[list[EncodedSeating], int | None]:
        """Return one page of committees after an epoch, and the last epoch if more follow.

        Anyone may ask, and decoding the keys of a file takes longer than everything else, so
        nothing is decoded.

        Args: `max_bytes`, of the page's files together; a page has at least one committee.
        """
        with self._read() as connection:
            shown, has_more = committee_table.read_page(connection, after, limit, max_bytes)
            rows = [self._encoded(connection, each) for each in shown]
        return rows, shown[-1].epoch if has_more else None

    def _encoded(self, connection: Connection, stored: StoredFile) -> EncodedSeating:
        at = stored.position
        entry = entry_table.read_one(connection, at) if at is not None else None
        handover = entry.event if entry else b"null"
        return EncodedSeating(stored.epoch, stored.document.encode(), handover, at)

    def _handover(self, connection: Connection, position: int | None) -> Handover | None:
        entry = entry_table.read_one(connection, position) if position is not None else None
        seated_by = entry.to_entry().event if entry else None
        return seated_by if isinstance(seated_by, Handover) else None

    def position_before(self, index: int) -> Position | None:
        """Return the ledger position of the newest entry at or before ledger index `index`.

        Only entries that this log has read from the ledger itself have one.
        """
        with self._read() as connection:
            return entry_table.position_before(connection, index)

    def find(self, event_: Event) -> int | None:
        """Return the position of the applied event with the same claim, if there is one."""
        with self._read() as connection:
            return entry_table.position_of(connection, event.root(event_))

    def rows(self, node_id: str | None, after: int, limit: int) -> list[LogRow]:
        """Return rows of the table `logs` after row id `after`, oldest first.

        Args:
            node_id: return only this node's rows; None for all rows.
        """
        with self._read() as connection:
            return index_tables.log_rows(connection, node_id, after, limit)

    def announcements(
        self, node_id: str | None = None, after: int = -1, limit: int = 1000
    ) -> list[Applied[MaintenanceClaim]]:
        """Return announced windows of maintenance after a position of the log, oldest first.

        Args:
            node_id: return only this node's windows; None for all windows.
        """
        with self._read() as connection:
            return index_tables.maintenance_rows(connection, node_id, after, limit)

    def refusals(self) -> dict[str, int]:
        """Return the number of refused events by reason."""
        with self._read() as connection:
            return refused_events.counts(connection)

    def refused(self, limit: int = 100) -> Sequence[Refusal]:
        """Return the newest refused events, newest first."""
        with self._read() as connection:
            return refused_events.newest(connection, limit)

    def refused_before(self, before: int, limit: int) -> list[tuple[int, Refusal]]:
        """Return refused events with row ids below `before`, each with its row id, newest first."""
        with self._read() as connection:
            return refused_events.page_before(connection, before, limit)
