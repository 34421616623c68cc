"""What SQLite reports, in words of this project: its own texts quote statements and values."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from typing import Final

_PRIMARY_CODE: Final = 0xFF  # extended result codes have further bits
NOT_UTF8: Final = "text is not UTF-8"
LOCKED: Final = "another process has locked it"
INCONSISTENT: Final = "its content is inconsistent"

_FAULTS: Final[Mapping[int, str]] = {
    sqlite3.SQLITE_ERROR: "a table or a column is missing",
    sqlite3.SQLITE_PERM: "access is denied",
    sqlite3.SQLITE_AUTH: "access is denied",
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_PROTOCOL: LOCKED,
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_CONSTRAINT: "a row contradicts another one",
    sqlite3.SQLITE_FORMAT: "it is no SQLite database",
    sqlite3.SQLITE_NOTADB: "it is no SQLite database",
}

# Tables and columns are named as in our own statements.
_MISSING: Final = re.compile(r"no such (table|column): (\w{1,64})$", re.ASCII)


def primary_code(error: object) -> int | None:
    """Return SQLite's primary result code of an error; None if the error has none."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY_CODE


def sqlite_fault(error: BaseException | None) -> str:
    """Return why SQLite cannot use a file, without SQLite's own text.

    Args: `error`, of `sqlite3`, or the UnicodeDecodeError with which it reads damaged text.
    """
    if isinstance(error, UnicodeDecodeError) or "decode to UTF-8" in str(error):
        return NOT_UTF8
    code = primary_code(error)
    if code == sqlite3.SQLITE_ERROR and (found := _MISSING.search(str(error))):
        return f"the {found[1]} {found[2]} is missing"
    return INCONSISTENT if code is None else _FAULTS.get(code, INCONSISTENT)
