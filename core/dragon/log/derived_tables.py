"""Which tables are derived from the events in `entries`, and their rows.

Imports no database library: the audit of a log derives the rows again, and reads the file without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from dragon import errors
from dragon.protocol.claims.base import Row, Table, kind_of, kinds
from dragon.protocol.event import Event

COUNTS: Final = "statement_counts"  # of windows; a trigger of the table `windows` keeps it
MAX_QUOTED_CHARS: Final = 66  # of a stream's id, which damage may have made longer


def tables() -> Mapping[str, Table]:
    """Return every derived table by name."""
    return {table.name: table for kind in kinds() for table in kind.tables}


def derive(position: int, event: Event) -> Iterator[Row]:
    """Yield the rows of an event that was applied at this position of the log."""
    yield from kind_of(event.claim).rows(event.claim, position, event.signature)


def check_counts(execute: Callable[[str], Iterable[Sequence[Any]]]) -> None:
    """Compare the counts of windows by statement with the windows. Raises LogDamaged.

    Args: `execute`, runs a query on the file and returns its rows.
    """
    counted = (
        "SELECT stream, COALESCE(statement, ''), COUNT(*) FROM windows WHERE verdict = 'valid' "
        "GROUP BY stream, COALESCE(statement, '')"
    )
    stated = f"SELECT stream, statement, windows FROM {COUNTS}"  # noqa: S608
    for one, other in ((counted, stated), (stated, counted)):
        for row in execute(f"{one} EXCEPT {other} LIMIT 1"):
            stream = str(row[0])[:MAX_QUOTED_CHARS]
            raise errors.LogDamaged(f"table {COUNTS}: the number for stream {stream} is wrong")
