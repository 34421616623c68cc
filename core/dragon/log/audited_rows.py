"""Entries and derived rows of a log file, read for an audit: nothing in the file is trusted."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

from dragon import errors
from dragon.encoding import MAX_INTEGER, Json, canonical
from dragon.log.derived_tables import COUNTS, check_counts, derive
from dragon.protocol import event, merkle
from dragon.protocol.claims.base import Table
from dragon.protocol.event import Event

Rows: TypeAlias = Generator[tuple[object, ...], None, None]


@dataclass(frozen=True, slots=True)
class AuditedEntry:
    """An entry as the file states it."""

    position: int
    kind: str
    root: str
    event: str
    leaf_hash: bytes
    ledger_index: int
    ledger_time: int | None
    chaining_hash: str


def read_entries(database: sqlite3.Connection) -> Generator[AuditedEntry, None, None]:
    """Yield all entries by position; the types of their columns are checked. Raises LogDamaged."""
    columns = ", ".join(AuditedEntry.__dataclass_fields__)
    with closing(database.execute(f"SELECT {columns} FROM entries ORDER BY position")) as found:  # noqa: S608
        for row in found:
            yield _checked(AuditedEntry(*row))


def _checked(entry: AuditedEntry) -> AuditedEntry:
    """Check the types of all columns, because SQLite stores values of any type."""
    kinds = {"position": int, "ledger_index": int, "ledger_time": int, "leaf_hash": bytes}
    for column in entry.__dataclass_fields__:
        value = getattr(entry, column)
        fit = type(value) is kinds.get(column, str) or (column, value) == ("ledger_time", None)
        if not fit or (isinstance(value, int) and not 0 <= value <= MAX_INTEGER):
            message = f"entry {entry.position!a}: column {column} has an invalid value"
            raise errors.LogDamaged(message, column=column)
    return entry


def read_rows(database: sqlite3.Connection, table: Table) -> Rows:
    """Yield the rows of a derived table, in the order in which the events give them.

    A column that the file does not have yet is null in all rows.
    """
    known = {row[1] for row in database.execute(f"PRAGMA table_info({table.name})")}
    if not known and table.name != "logs":
        return  # the file is older than this table
    columns = (each if each in known else f"NULL AS {each}" for each in table.columns)
    query = f"SELECT {', '.join(columns)} FROM {table.name} ORDER BY {table.order}"  # noqa: S608
    with closing(database.execute(query)) as found:
        yield from found


def check_derived(entry: AuditedEntry, decoded: Event) -> None:
    """Check the columns of an entry that follow from its event. Raises LogDamaged."""
    leaf = event.leaf(decoded, entry.ledger_index)
    derived = {
        "event": (entry.event, canonical(decoded.to_json()).decode()),
        "kind": (entry.kind, decoded.claim.KIND),
        "root": (entry.root, event.root(decoded)),
        "leaf_hash": (entry.leaf_hash, merkle.leaf_hash(leaf)),
    }
    for column, (stored, expected) in derived.items():
        if stored != expected:
            raise _differs(entry.position, column)


def check_counted(database: sqlite3.Connection) -> None:
    """Compare the counts of windows with the table `windows`, which was compared with the events.

    A file that is older than the counts has none. Raises LogDamaged.
    """
    if database.execute(f"PRAGMA table_info({COUNTS})").fetchone() is not None:
        check_counts(database.execute)


class DerivedRows:
    """Compares the rows of the derived tables with the events."""

    def __init__(self, stored: Mapping[str, Rows]) -> None:
        self._stored = stored
        # For tables in which new rows replace old ones: the newest row of each key, by table.
        self._newest: dict[str, dict[str, tuple[Json, ...]]] = {}

    def check(self, position: int, decoded: Event) -> None:
        """Compare the rows of an entry's event with the next rows of their tables."""
        for row in derive(position, decoded):
            table, values = row.table, tuple(row.values[column] for column in row.table.columns)
            if table.key is not None:
                self._newest.setdefault(table.name, {})[str(row.values[table.key])] = values
            elif next(self._stored[table.name], None) != values:
                raise _differs(position, table.name)

    def check_rest(self) -> None:
        """Compare the tables with one row per key, and refuse rows that belong to no event."""
        for name, newest in self._newest.items():
            for key in sorted(newest):
                if next(self._stored[name], None) != newest[key]:
                    message = f"table {name}: the row of {key} differs from the log"
                    raise errors.LogDamaged(message, column=name)
        for name, left in self._stored.items():
            if next(left, None) is not None:
                raise errors.LogDamaged(f"table {name}: there is a row that belongs to no event")


def _differs(position: int, column: str) -> errors.LogDamaged:
    message = f"entry {position}: {column} does not match the event"
    return errors.LogDamaged(message, position=position, column=column)
