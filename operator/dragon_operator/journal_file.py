"""The file of the journal: `operator-journal.db` beside `operator.db`.

It is a file of its own, so that a signature never waits for a transaction of the log. An operator
that lost its journal could sign the opposite of what it signed before. So each of the two files
contains the same random token, and an operator with a missing or a wrong journal does not start.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import text

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol.committee import Committee
from dragon.storage.damage import check_structure
from dragon.storage.database import Database
from dragon.storage.sqlite_faults import LOCKED, sqlite_fault

SCHEMA: Final = "dragon_operator:journal_migrations"
# The journal is archived together with the log, so the database does not expect it any more.
ARCHIVE_CLEARS: Final = ("journal_file",)
TOKEN_BYTES: Final = 16

_OWNER: Final = text("SELECT committee, operator, token FROM journal_owner")
_OWN: Final = text("INSERT INTO journal_owner VALUES (1, :committee, :operator, :token, :since)")
# The clock was ahead when the journal was created; it would abstain until then.
_CORRECT_SINCE: Final = text("UPDATE journal_owner SET since = :now WHERE since > :now")
_UNKNOWN_STATUS: Final = text("SELECT 1 FROM journal_status WHERE status NOT IN ('up', 'down')")
_EXPECTED: Final = text("SELECT token FROM journal_file")
_EXPECT: Final = text("INSERT INTO journal_file VALUES (1, :token)")


def journal_path(database: Path) -> Path:
    """Return the path of the journal that belongs to an operator's database."""
    return database.with_name(f"{database.stem}-journal.db")


def open_journal(
    database: Database,
    committee: Committee,
    operator: str,
    *,
    entropy: Callable[[int], bytes],
    wall: Callable[[], float],
) -> Database:
    """Open the journal that belongs to an operator's database; create it at the first start.

    `wall` returns the current time in Unix seconds: a new journal contains when it was created.

    After a crash the journal may exist although the database does not expect it yet. Then the next
    start continues with it.

    Raises:
        WrongJournal: the journal is missing, or belongs to another operator or database.
        LogDamaged, DatabaseTooNew: as `Database`.
    """
    path = journal_path(database.path)
    with database.read() as connection:
        expected = connection.execute(_EXPECTED).scalar()
    if expected is not None and not path.exists():
        raise errors.WrongJournal(_lost(f"{path} is missing", database.path))
    journal = Database(path, SCHEMA, disk=database.disk)
    try:
        with journal.write() as connection:
            check_structure(connection, path)
            if connection.execute(_UNKNOWN_STATUS).first():
                raise errors.LogDamaged(f"{path} is damaged: a decision has an unknown status")
            if expected is None and connection.execute(_OWNER).first() is None:
                own: dict[str, object] = {"committee": to_hex(committee.id), "operator": operator}
                own |= {"token": to_hex(entropy(TOKEN_BYTES)), "since": int(wall())}
                connection.execute(_OWN, own)
            connection.execute(_CORRECT_SINCE, {"now": int(wall())})
            owner = connection.execute(_OWNER).first()
        if owner is None or expected not in (None, owner.token):
            raise errors.WrongJournal(_lost(f"{path} is another journal", database.path))
        _check_owner(path, (owner.operator, owner.committee), (operator, to_hex(committee.id)))
        if expected is None:
            with database.write() as connection:
                connection.execute(_EXPECT, {"token": owner.token})
    except errors.LogError:
        journal.close()
        raise
    return journal


def _lost(what: str, database: Path) -> str:
    return (
        f"{what}, and without the journal that was used with {database} this operator could sign "
        "the opposite of what it signed before; if that journal was moved, move it back, but never "
        "use an older copy of it; otherwise restore the operator as docs/operating.md describes"
    )


def _check_owner(path: Path, owner: tuple[str, str], wanted: tuple[str, str]) -> None:
    if owner != wanted:
        message = (
            f"{path} is the journal of {owner[0]} in committee {owner[1]}, not of {wanted[0]} in "
            f"{wanted[1]}; use the data of this operator, or run `dragon log archive` on the "
            "database beside it if the committee was founded anew"
        )
        raise errors.WrongJournal(message)


def archive_journal(database: Path) -> Path | None:
    """Rename the journal beside an archived database, so that another committee gets a new one.

    The operator must not be running. After a crash, run it again.

    Returns the new path; None if there is no journal.

    Raises LogDamaged: an operator still uses the file.
    """
    path = journal_path(database)
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(path, timeout=1)) as journal:
            # Needs exclusive access. It moves what `-wal` contains into the file.
            [mode] = journal.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.Error as error:
        raise _not_archived(path, sqlite_fault(error)) from None
    if mode != "delete":
        raise _not_archived(path, LOCKED)
    number = 1
    while (archived := path.with_name(f"{path.name}.archived-{number}")).exists():
        number += 1
    return path.rename(archived)


def _not_archived(path: Path, why: str) -> errors.LogDamaged:
    message = f"{path} cannot be archived: {why}; stop the operator that uses it and try again"
    return errors.LogDamaged(message)
