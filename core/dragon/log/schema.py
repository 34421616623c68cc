"""The location of the migrations of the log's tables, and the check for logs that are too old."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dragon.errors import DatabaseTooOld
from dragon.storage.schema import Query, is_behind

LOG_SCHEMA: Final = "dragon.log:migrations"
# Their leaves have the ledger's time, or their committees have other ids: the id did not cover the
# whole file, or the file had fewer members.
_OLD_FORMATS: Final = tuple(f"log_{number:04}" for number in range(1, 7))


def check_format(path: Path, query: Query) -> None:
    """Check that this release can read the log in a file, without changing the file.

    Raises DatabaseTooNew, DatabaseTooOld.
    """
    if is_behind(LOG_SCHEMA, path, query) and _has_old_format(query):
        raise _too_old(path)


def refuse_old_entries(path: Path | str, query: Query) -> None:
    """Refuse a log of an older format that has entries. Raises DatabaseTooOld."""
    if _has_old_format(query) and list(query("SELECT 1 FROM entries LIMIT 1")):
        raise _too_old(path)


def _has_old_format(query: Query) -> bool:
    if not list(query("SELECT 1 FROM sqlite_master WHERE name = 'schema_log'")):
        return False
    return any(row[0] in _OLD_FORMATS for row in query("SELECT version_num FROM schema_log"))


def _too_old(path: Path | str) -> DatabaseTooOld:
    return DatabaseTooOld(
        f"{path} holds a log in the format of an earlier version, which signed other bytes, and "
        "this version cannot continue it; keep the file as evidence, found a new network, and "
        "start with a new file"
    )
