"""Re-verifying a whole log from its first entry: `dragon verify log`, and the tests' oracle.

Trusts nothing that the file says about itself except the ledger index and time of each entry: those
are this operator's record of what the finality proofs said when it read them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dragon import errors, event, merkle
from dragon.committee import Committee
from dragon.encoding import MAX_INTEGER, canonical, parse, to_hex
from dragon.log import apply
from dragon.log.apply import State


@dataclass(frozen=True, slots=True)
class Audit:
    """A log that was found right, whole."""

    size: int
    root: bytes
    state: State


def audit(
    path: Path, committee: Committee, progress: Callable[[int], None] = lambda _: None
) -> Audit:
    """Verify every certificate, rule, leaf and row of the log file at `path`.

    Works on a copy or on the file of a running operator; reads only. `progress` is called with the
    number of entries verified so far.

    Raises:
        NotFound: no such file.
        LogDamaged: the file contradicts itself.
        CertificateError, NotApplicable: an entry that should never have been applied.
    """
    if not path.is_file():
        raise errors.NotFound(f"there is no log at {path}")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("BEGIN")
            _check_owner(database, committee)
            with closing(_entries(database)) as entries, closing(_rows(database)) as rows:
                return _audit(entries, rows, committee, progress)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise errors.LogDamaged(f"{path} cannot be read as a log: {error}") from None


def _audit(
    entries: Iterator[_StoredEntry],
    rows: Iterator[tuple[object, ...]],
    committee: Committee,
    progress: Callable[[int], None],
) -> Audit:
    state, tree = State(), merkle.Tree()
    index, time = 0, 0
    for position, entry in enumerate(entries):
        # (1) In order, without gaps, on a ledger that goes forward.
        if entry.position != position:
            raise errors.LogDamaged(f"entry {position} is missing", position=position)
        if entry.ledger_index < index or entry.ledger_time < time:
            raise errors.LogDamaged(f"entry {position} goes back in time", position=position)
        index, time = entry.ledger_index, entry.ledger_time
        # (2) The event is in its one form, applicable at its time, and certified.
        try:
            decoded = event.decode(parse(entry.event))
            state = apply.apply(state, decoded, entry.ledger_time, committee)
        except errors.DragonError as refusal:
            refusal.facts["position"] = position
            raise
        # (3) What is derived from it is right: text, root, leaf, and the row in `logs`.
        _check_derived(entry, decoded, next(rows, None))
        tree.append(entry.leaf_hash)
        progress(position + 1)
    if next(rows, None) is not None:
        raise errors.LogDamaged("the table logs holds a row that no event explains")
    return Audit(len(tree), tree.root(), state)


@dataclass(frozen=True, slots=True)
class _StoredEntry:
    position: int
    kind: str
    root: str
    event: str
    leaf_hash: bytes
    ledger_index: int
    ledger_time: int
    chaining_hash: str


def _check_owner(database: sqlite3.Connection, committee: Committee) -> None:
    row = database.execute("SELECT committee FROM standing").fetchone()
    if row is None or row[0] != to_hex(committee.id):
        raise errors.WrongCommittee("the log belongs to another committee")


def _entries(database: sqlite3.Connection) -> Generator[_StoredEntry, None, None]:
    columns = ", ".join(_StoredEntry.__dataclass_fields__)
    with closing(database.execute(f"SELECT {columns} FROM entries ORDER BY position")) as found:  # noqa: S608
        for row in found:
            yield _checked(_StoredEntry(*row))


def _checked(entry: _StoredEntry) -> _StoredEntry:
    """SQLite keeps whatever type it was given; a column must hold its own."""
    kinds = {"position": int, "ledger_index": int, "ledger_time": int, "leaf_hash": bytes}
    for column in entry.__dataclass_fields__:
        value = getattr(entry, column)
        fit = type(value) is kinds.get(column, str)
        if not fit or (isinstance(value, int) and not 0 <= value <= MAX_INTEGER):
            message = f"entry {entry.position!a}: {column} holds something else than it should"
            raise errors.LogDamaged(message, column=column)
    return entry


def _rows(database: sqlite3.Connection) -> Generator[tuple[object, ...], None, None]:
    query = "SELECT node_id, status, timestamp, signature FROM logs ORDER BY id"
    with closing(database.execute(query)) as found:
        yield from found


def _check_derived(
    entry: _StoredEntry, decoded: event.Event, row: tuple[object, ...] | None
) -> None:
    claim, position = decoded.claim, entry.position
    leaf = event.leaf(decoded, entry.ledger_index, entry.ledger_time)
    derived = {
        "event": (entry.event, canonical(decoded.to_json()).decode()),
        "kind": (entry.kind, claim.KIND),
        "root": (entry.root, event.root(decoded)),
        "leaf_hash": (entry.leaf_hash, merkle.leaf_hash(leaf)),
        "logs": (
            row,
            (claim.node_id, str(claim.status), claim.timestamp, to_hex(decoded.signature)),
        ),
    }
    for column, (stored, expected) in derived.items():
        if stored != expected:
            message = f"entry {position}: {column} is not what its event says"
            raise errors.LogDamaged(message, position=position, column=column)
