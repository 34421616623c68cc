"""The lineage in a log's file, read beside the service that uses the file.

The service has verified every committee before it was seated, so only the chain of files is checked
again, which needs no signature.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from dragon import errors
from dragon.log import committee_table, cursor, entry_table
from dragon.log.cursor import Alarm
from dragon.log.schema import check_format
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import EventClaim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.event import Event
from dragon.protocol.handover import Handover
from dragon.protocol.lineage import Lineage
from dragon.storage.read_only import ReadOnlyDatabase

_HAS_LOG: Final = "SELECT 1 FROM sqlite_master WHERE name = 'committees'"


@dataclass(frozen=True, slots=True)
class StoredLineage:
    """What a log's file says about its committees."""

    lineage: Lineage  # whole; its checkpoint is None until the newest committee has certified one
    log_time: int  # of the newest mark or of genesis, Unix seconds
    alarm: Alarm | None  # why the log has stopped


def read(path: Path) -> StoredLineage:
    """Read the lineage of the log in the file at `path`. The file is not changed.

    Raises:
        NotFound: there is no file, or no committee in it yet.
        LogDamaged: the file cannot be read as a log.
        DatabaseTooNew, DatabaseTooOld: it has the format of another release.
        LineageError, InvalidCommittee: the committees do not follow each other.
    """
    if not path.is_file():
        raise errors.NotFound(f"there is no log at {path}")
    database = ReadOnlyDatabase(path)
    with database.read() as connection:
        check_format(path, lambda sql: connection.exec_driver_sql(sql).fetchall())
        if not connection.exec_driver_sql(_HAS_LOG).first():
            raise errors.NotFound(f"the file {path} has no log yet")
        alarm = cursor.read_alarm(connection)
        newest = entry_table.newest(connection, CheckpointClaim.KIND)
        listed = committee_table.read_all(connection)
        handovers = tuple(_handover(connection, at) for _, at in listed if at is not None)
    if not listed:
        raise errors.NotFound(f"the log at {path} has no committee yet")
    committees = tuple(committee for committee, _ in listed)
    marks: list[Event] = [newest.to_entry().event] if newest else []
    lineage = Lineage(committees, handovers, _checkpoint(marks, committees[-1].id))
    lineage.check_chain()
    claims = (each.claim for each in (*marks, *handovers[-1:]))
    times = [each.timestamp for each in claims if isinstance(each, EventClaim)]
    return StoredLineage(lineage, max(times, default=lineage.newest.rounds.genesis), alarm)


def _handover(connection: Connection, position: int) -> Handover:
    """Return the handover at a position. Raises LogDamaged."""
    entry = entry_table.read_one(connection, position)
    event = entry.to_entry().event if entry else None
    if not isinstance(event, Handover):
        raise errors.LogDamaged(f"entry {position} is no handover", position=position)
    return event


def _checkpoint(marks: list[Event], committee_id: bytes) -> Certificate | None:
    """Return the newest checkpoint, if the newest committee has certified it."""
    found = (each for each in marks if isinstance(each, Certificate))
    return next((each for each in found if each.committee_id == committee_id), None)
