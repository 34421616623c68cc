"""Database files that nothing certified depends on: a damaged one is set aside.

Otherwise pages about the log would be missing because of a damaged file of response times.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import structlog

from dragon.errors import LogDamaged
from dragon.storage.damage import check_structure
from dragon.storage.database import Database

ASIDE: Final = ".damaged"  # ends the name of a file that was set aside; the last one is kept
_PARTS: Final = ("", "-wal", "-shm")  # of the name of SQLite's files

logger = structlog.stdlib.get_logger(__name__)


def open_replaceable(path: Path, schema: str) -> Database:
    """Open a database; if it is damaged, set its files aside and begin a new one.

    Raises DatabaseTooNew, DatabaseTooOld, DiskError; LogDamaged: the files cannot be renamed.
    """
    try:
        return _open_checked(path, schema)
    except LogDamaged as error:
        logger.error("database_set_aside", detail=str(error), kept=f"{path}{ASIDE}")
    try:
        for part in _PARTS:
            file = path.with_name(f"{path.name}{part}")
            if file.exists():
                file.rename(f"{file}{ASIDE}")
    except OSError as error:
        raise LogDamaged(f"{path} is damaged, and cannot be renamed: {error.strerror}") from None
    return Database(path, schema)


def _open_checked(path: Path, schema: str) -> Database:
    database = Database(path, schema)
    try:
        with database.read() as connection:
            check_structure(connection, path)
    except LogDamaged:
        database.close()
        raise
    return database
