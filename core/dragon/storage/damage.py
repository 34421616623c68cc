"""Damaged SQLite files: how they show, and one error for all of it.

SQLite notices damage of its own structures when it comes across it, in many ways: as a malformed
image, as a table or column that does not exist, as text that is not UTF-8. Altered values it does
not notice; who reads them checks them.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DatabaseError, DBAPIError

from dragon.errors import LogDamaged
from dragon.storage.sqlite_faults import INCONSISTENT, primary_code, sqlite_fault

_CODES: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
# With our own fixed statements these can only come from a damaged schema or damaged text.
_MESSAGES: Final = re.compile(
    r"no such |has no column |already exists|could not decode|unsupported|malformed|"
    r"unrecognized token|syntax error|incomplete input|unknown (tokenizer|database)|"
    r"values were supplied|sqlite_sequence",
    re.IGNORECASE,
)
_HEADER_BYTES: Final = 100
_HEADER_BEGIN: Final = b"SQLite format 3\0"
_TABLES: Final = "SELECT name FROM sqlite_master WHERE type = 'table'"
_VERSIONS: Final = (b"\1\1", b"\2\2")  # of the format, for writing and reading: rollback or WAL
_TYPES: Final = {
    "INTEGER": "('integer', 'null')",
    "REAL": "('real', 'integer', 'null')",
    "TEXT": "('text', 'null')",
    "BLOB": "('blob', 'null')",
}


@contextmanager
def guard(path: Path) -> Iterator[None]:
    """Raise LogDamaged for every error that only a damaged file causes. Others pass unchanged."""
    try:
        yield
    except (DBAPIError, sqlite3.Error, UnicodeDecodeError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not _is_damage(cause):
            raise
        raise LogDamaged(f"{path} is damaged: {sqlite_fault(cause)}") from None


@contextmanager
def unreadable(what: str) -> Iterator[None]:
    """Raise LogDamaged for every error of SQLite, whether the file or something else causes it.

    For readers that cannot go on without the file. The library raises errors of its own, its
    connections' cursors those of the driver.

    Args: `what`, the beginning of the message, such as "log.db cannot be read".
    """
    try:
        yield
    except (DatabaseError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DatabaseError) else error
        raise LogDamaged(f"{what}: {sqlite_fault(cause)}") from None


def _is_damage(cause: BaseException | None) -> bool:
    if isinstance(cause, UnicodeDecodeError):
        return True
    if primary_code(cause) in _CODES:
        return True
    return isinstance(cause, sqlite3.OperationalError) and bool(_MESSAGES.search(str(cause)))


def check_header(path: Path) -> None:
    """Check the part of the header that decides whether SQLite may write the file.

    SQLite would say that a file with another version is read-only. Raises LogDamaged.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if header.startswith(_HEADER_BEGIN) and header[18:20] not in _VERSIONS:
        raise LogDamaged(f"{path} is damaged: its header states an unknown version of the format")


def check_structure(
    connection: Connection, path: Path, tables: Iterable[str] | None = None
) -> None:
    """Let SQLite check the structure of tables and their indices, and the types of all values.

    It takes about 2 ms for each MB. Tables that do not exist are skipped; without
    `tables` all are checked. Raises LogDamaged.
    """
    # The driver's own cursor: for these short queries the library takes longer than SQLite.
    with closing(connection.connection.cursor()) as cursor:
        present = {row[0] for row in _rows(cursor, _TABLES)}
        for table in sorted(present) if tables is None else tables:
            if table not in present:
                continue
            found = _rows(cursor, f"PRAGMA quick_check({table})")
            if found and found[0][0] != "ok":
                raise LogDamaged(f"{path} is damaged: table {table}: {INCONSISTENT}")
            _check_types(cursor, path, table)


def _rows(cursor: DBAPICursor, query: str) -> Sequence[Any]:
    cursor.execute(query)
    return cursor.fetchall()


def _check_types(cursor: DBAPICursor, path: Path, table: str) -> None:
    """Compare the types of all values with those of their columns. Raises LogDamaged."""
    columns = _rows(cursor, f"PRAGMA table_info({table})")
    for _, name, *_ in columns:
        if name != name.lower():  # SQLite does not mind, but who reads rows by name does
            raise LogDamaged(f"{path} is damaged: table {table} has no column {name.lower()}")
    wrong = {
        name: f'typeof("{name}") NOT IN {_TYPES[declared.upper()]}'
        for _, name, declared, *_ in columns
        if declared.upper() in _TYPES
    }
    if not wrong:
        return
    numbers = [column[1] for column in columns if column[5] and column[2].upper() == "INTEGER"]
    number = numbers[0] if len(numbers) == 1 else "''"  # what names a row
    values, anywhere = ", ".join(wrong.values()), " OR ".join(wrong.values())
    query = f"SELECT {number}, {values} FROM {table} WHERE {anywhere} LIMIT 1"  # noqa: S608
    for row in _rows(cursor, query):
        name = next(name for name, is_wrong in zip(wrong, row[1:], strict=True) if is_wrong)
        place = f"table {table}" + ("" if row[0] == "" else f", row {row[0]}")
        message = f"{place}: column {name} has a value of a wrong type"
        raise LogDamaged(f"{path} is damaged: {message}")
