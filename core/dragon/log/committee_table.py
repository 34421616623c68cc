"""The tables `committees` and `committee_files`.

The first has the file of every committee that has held in this log. The second has files that a
certified handover names, or may name: a log that reads the ledger later needs them too, although
the handover was not applied.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, text

from dragon import errors
from dragon.encoding import parse, to_hex
from dragon.protocol.committee import Committee


def append(cursor: sqlite3.Cursor, committee: Committee, position: int | None) -> None:
    """Write a committee; `position` is that of its handover, None for the first one."""
    cursor.execute(
        "INSERT INTO committees VALUES (:epoch, :id, :document, :position)",
        {
            "epoch": committee.epoch,
            "id": to_hex(committee.id),
            "document": committee.encode().decode(),
            "position": position,
        },
    )


def read_all(connection: Connection) -> list[tuple[Committee, int | None]]:
    """Return all committees, oldest first, each with the position of its handover.

    Keys are not checked again: the hash of each file is the one that the log names.
    Raises LogDamaged.
    """
    return read_after(connection, -1, -1)


def read_after(
    connection: Connection, after: int, limit: int
) -> list[tuple[Committee, int | None]]:
    """Return the committees after an epoch, as `read_all`. Args: `limit`, -1 for no limit.

    The cost is that of the committees that are returned. Raises LogDamaged.
    """
    query = text(
        "SELECT epoch, id, document, position FROM committees WHERE epoch > :after "
        "ORDER BY epoch LIMIT :limit"
    )
    rows = connection.execute(query, {"after": after, "limit": limit})
    found = [_checked(*row) for row in rows]
    for expected, (committee, position) in enumerate(found, start=after + 1):
        if committee.epoch != expected or (position is None) is not (expected == 0):
            raise errors.LogDamaged(f"the committee of epoch {expected} is missing, or misplaced")
    return found


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A committee file as it is stored. Nothing of it is decoded."""

    epoch: int
    document: str
    position: int | None  # of the handover in the log


def read_page(
    connection: Connection, after: int, limit: int, max_bytes: int
) -> tuple[list[StoredFile], bool]:
    """Return the files after an epoch, and whether more follow: at least one if there is one.

    Args: `limit` and `max_bytes`, of the files of the page together. Raises LogDamaged.
    """
    query = text(
        "SELECT epoch, id, document, position FROM committees WHERE epoch > :after "
        "ORDER BY epoch LIMIT :limit"
    )
    shown: list[StoredFile] = []
    left = max_bytes
    rows = connection.execute(query, {"after": after, "limit": limit + 1})
    for epoch, stated, document, position in rows:
        left -= len(str(document))
        if shown and (left < 0 or len(shown) == limit):
            return shown, True
        if type(document) is not str or _hash(document) != stated:
            raise errors.LogDamaged(f"the committee of epoch {epoch} was altered on disk")
        shown.append(StoredFile(epoch, document, position))
    return shown, False


def keep(cursor: sqlite3.Cursor, committee: Committee) -> None:
    """Write a file that a handover names, if it is not there yet. It is never deleted."""
    cursor.execute(
        "INSERT OR IGNORE INTO committee_files VALUES (:id, :document)",
        {"id": to_hex(committee.id), "document": committee.encode().decode()},
    )


def read_file(connection: Connection, committee_id: bytes) -> bytes | None:
    """Return a committee file of either table by its hash, or None. A damaged file counts as none.

    Its keys are not decoded, which would take most of the time.
    """
    for table in ("committees", "committee_files"):
        query = text(f"SELECT document FROM {table} WHERE id = :id")  # noqa: S608
        document = connection.execute(query, {"id": to_hex(committee_id)}).scalar()
        if type(document) is str and _hash(document) == to_hex(committee_id):
            return document.encode()
    return None


def _hash(document: str) -> str:
    return to_hex(hashlib.sha256(document.encode()).digest())


def documents(committees: Iterable[Committee]) -> dict[bytes, Committee]:
    """Return committees by id."""
    return {committee.id: committee for committee in committees}


def _checked(
    epoch: object, stated: object, document: object, position: object
) -> tuple[Committee, int | None]:
    if type(document) is not str or not (position is None or type(position) is int):
        raise errors.LogDamaged("a row of table committees has a value of a wrong type")
    try:
        committee = Committee.from_json(parse(document))
    except errors.DragonError as error:
        raise errors.LogDamaged(f"the committee of epoch {epoch} cannot be read: {error}") from None
    if (committee.epoch, to_hex(committee.id)) != (epoch, stated):
        raise errors.LogDamaged(f"the committee of epoch {epoch} was altered on disk")
    return committee, position
