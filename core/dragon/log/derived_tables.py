"""Which tables are derived from the events in `entries`, and their rows.

Imports no database library: the audit of a log derives the rows again, and reads the file without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dragon.protocol.claims.base import Row, Table, kind_of, kinds
from dragon.protocol.event import Event


def tables() -> Mapping[str, Table]:
    """Return every derived table by name."""
    return {table.name: table for kind in kinds() for table in kind.tables}


def derive(position: int, event: Event) -> Iterator[Row]:
    """Yield the rows of an event that was applied at this position of the log."""
    yield from kind_of(event.claim).rows(event.claim, position, event.signature)
