"""Archiving a log after its sequencing network was reset.

Afterwards the file takes the log of another network only. If a log began again under the same
id, its log time would be genesis again. Then anyone could put an old genuine checkpoint
onto the new ledger, and every log would raise the alarm `diverged`. After a handover the committee
of epoch 0 would hold again, with all members that have left. So a log that has applied a handover
is archived only for a new network that exists already.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from dragon import errors
from dragon.encoding import to_hex
from dragon.log.derived_tables import COUNTS, tables
from dragon.log.schema import check_format
from dragon.storage.sqlite_faults import sqlite_fault

_LOG_TABLES: Final = (
    *("entries", "refused", "refusals", "alarm", "cursor", "snapshot", "blocks", COUNTS),
    *("committees", "committee_files"),
)


def archive(
    path: Path, owners_tables: Iterable[str] = (), *, refounded: bytes | None = None
) -> Path:
    """Copy the database at `path` and empty its log, for a network with another id.

    The service must not be running. After a crash the log is unchanged or completely emptied, and
    an emptied log has a complete copy.

    Args:
        owners_tables: further tables to empty, of the services that own tables in the file.
        refounded: id of the network that the file is to serve, 32 bytes; needed after a handover.

    Returns the path of the copy.

    Raises:
        NotFound: there is no file at `path`.
        HandedOver: the log has applied a handover, and no other network is named.
        LogDamaged: the file is no log, or a service still has it open.
        DatabaseTooNew: a newer release has changed its schema.
        DatabaseTooOld: the log has the format of an older release.
    """
    if not path.is_file():
        raise errors.NotFound(f"there is no log at {path}")
    try:
        with closing(sqlite3.connect(path, timeout=1)) as database:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("BEGIN EXCLUSIVE")
            check_format(path, database.execute)
            _check_not_handed_over(database, path, refounded)
            size = database.execute("SELECT COUNT(*) FROM entries").fetchone()[0]
            copy = _free_name(path, size)
            database.rollback()
            unfinished = copy.with_name(copy.name + ".unfinished")
            unfinished.unlink(missing_ok=True)
            with closing(sqlite3.connect(unfinished)) as target:
                database.backup(target)
            unfinished.rename(copy)  # so a file with an archive's name is always complete
            _clear(database, [*_LOG_TABLES, *tables(), *owners_tables])
    except sqlite3.Error as error:
        message = (
            f"{path} cannot be archived: {sqlite_fault(error)}; stop the service that uses it and "
            "try again"
        )
        raise errors.LogDamaged(message) from None
    return copy


def _check_not_handed_over(
    database: sqlite3.Connection, path: Path, refounded: bytes | None
) -> None:
    """Raise HandedOver if the log has applied a handover, and `refounded` is no other network."""
    [epoch] = database.execute("SELECT MAX(epoch) FROM committees").fetchone()
    network = database.execute("SELECT network FROM cursor").fetchone()
    if not epoch or (refounded is not None and network != (to_hex(refounded),)):
        return
    message = (
        f"the log in {path} has applied a handover, to epoch {epoch}: its network cannot begin "
        "again, because the committee of epoch 0 would hold, with members that have left"
    )
    if refounded is not None:
        message += "; the committee file that is given belongs to this same network"
    raise errors.HandedOver(message, epoch=epoch)


def _free_name(path: Path, size: int) -> Path:
    number = 1
    while (copy := path.with_name(f"{path.name}.archived-{size}-{number}")).exists():
        number += 1
    return copy


def _clear(database: sqlite3.Connection, tables_: Iterable[str]) -> None:
    present = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    database.execute("BEGIN IMMEDIATE")
    database.execute("INSERT OR IGNORE INTO archived SELECT network FROM cursor")
    for table in tables_:
        if table in present:
            database.execute(f"DELETE FROM {table}")  # noqa: S608
    database.execute("DELETE FROM sqlite_sequence WHERE name IN ('logs', 'refused')")
    database.commit()
