"""Verification of a whole log from its first entry, for `dragon verify log`.

The only value that is trusted is the ledger index of each entry: the operator recorded it from
finality proofs that the file does not contain. The column `ledger_time` is part of no rule.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from dragon import errors
from dragon.encoding import MAX_INTEGER, Json, canonical, parse, to_hex
from dragon.log.batch_verification import BatchVerifier
from dragon.log.index_tables import derive, tables
from dragon.log.schema import check_format
from dragon.log.vouching import Vouched, vouched
from dragon.protocol import event, merkle
from dragon.protocol.claims.base import Table
from dragon.protocol.committee import Committee
from dragon.protocol.committee_rules import check_all
from dragon.protocol.event import Event
from dragon.protocol.lineage import Lineage
from dragon.protocol.state import State, Verify, transition
from dragon.protocol.trust import Trust
from dragon.storage.sqlite_faults import sqlite_fault

ENTRIES_PER_BATCH: Final = 256  # entries that are verified together

_Rows: TypeAlias = Generator[tuple[object, ...], None, None]


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of verifying a log completely."""

    size: int
    root: bytes
    vouched: Vouched  # the part that the newest committee known vouches for
    committees: tuple[Committee, ...]  # that have held in the log, from epoch 0 on
    state: State
    tree: merkle.Tree = field(compare=False)  # of all entries; `root` is its root


def audit(
    path: Path,
    known: Trust | Lineage | Committee,
    progress: Callable[[int], None] = lambda _: None,
    *,
    batched: bool = True,
    entropy: Callable[[int], bytes] = os.urandom,
) -> Audit:
    """Verify every certificate, rule, leaf and row of the log file at `path`.

    The file may be a copy, or belong to a running operator. It is not changed. A log that has
    passed handovers is verified from its first entry: it has the files of all its committees.

    Args:
        known: a verified lineage, or one committee of the network, as a rule the newest: its file
            names the one before by its hash, and so on back to epoch 0.
        progress: called with the number of entries verified so far.
        batched: verify many signatures together; verify them one by one only if that fails.
        entropy: returns random bytes, for batched verification.

    Raises:
        NotFound: there is no file at `path`.
        LogDamaged: the file contradicts itself.
        DatabaseTooNew: a newer release has changed its schema.
        DatabaseTooOld: the log has the format of an older release.
        WrongCommittee: the log belongs to another network, or has other committees.
        CertificateError, NotApplicable, Diverged: an entry should not have been applied.
        Superseded: the log has entries of committees that have handed over, and no mark that a
            trusted committee has signed covers them.
    """
    trust = Trust.of(known)
    if not path.is_file():
        raise errors.NotFound(f"there is no log at {path}")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("BEGIN")
            check_format(path, database.execute)
            committees = _committees(database, trust.lineage)
            auditor = _Auditor(committees)
            with ExitStack() as open_:
                entries = open_.enter_context(closing(_entries(database)))
                rows = _DerivedRows(
                    {
                        table.name: open_.enter_context(closing(_rows(database, table)))
                        for table in tables().values()
                    }
                )
                while together := list(islice(entries, ENTRIES_PER_BATCH if batched else 1)):
                    auditor.take(together, entropy)
                    for entry in together:
                        rows.check(entry)
                    progress(auditor.state.size)
                rows.check_rest()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise errors.LogDamaged(f"{path} cannot be read as a log: {sqlite_fault(error)}") from None
    state, tree = auditor.state, auditor.tree
    held = tuple(committees[: state.committee.epoch + 1])
    return Audit(len(tree), tree.root(), vouched(trust, state, tree), held, state, tree)


class _Auditor:
    """The state and tree after all entries that were verified so far."""

    def __init__(self, committees: Sequence[Committee]) -> None:
        """Args: committees: those of the log, from epoch 0 on."""
        self._documents = {committee.id: committee for committee in committees}
        self.state = State.of(committees[0])
        self.tree = merkle.Tree()
        self._index = 0

    def take(self, entries: Sequence[_StoredEntry], entropy: Callable[[int], bytes]) -> None:
        """Verify the next entries, with all signatures together; one by one if that fails."""
        if len(entries) == 1:
            self._take(entries[0], None)
            return
        before, verifier = (self.state, self._index), BatchVerifier(entropy)
        try:
            for entry in entries:
                self._take(entry, verifier)
            valid = verifier.verify()
        except errors.DragonError:
            valid = False
        if valid:
            return
        # Verify again one by one, so that the error names the first wrong entry.
        self.state, self._index = before
        self.tree.truncate(self.state.size)
        for entry in entries:
            self._take(entry, None)

    def _take(self, entry: _StoredEntry, verify: Verify[Event] | None) -> None:
        # (1) Entries have no gaps, and their ledger indices do not decrease.
        position = self.state.size
        if entry.position != position:
            raise errors.LogDamaged(f"entry {position} is missing", position=position)
        if entry.ledger_index < self._index:
            raise errors.LogDamaged(
                f"entry {position} has an earlier ledger index than the entry before it",
                position=position,
            )
        self._index = entry.ledger_index
        # (2) The event is well-formed, applicable to the log before it, and certified.
        try:
            decoded = event.decode(parse(entry.event))
            following = transition(
                self.state,
                decoded,
                root_at=self.tree.root,
                verify=verify,
                documents=self._documents.get,
            )
        except errors.DragonError as refusal:
            refusal.facts["position"] = position
            raise
        # (3) The columns that are derived from the event are right.
        _check_derived(entry, decoded)
        self.tree.append(entry.leaf_hash)
        self.state = following


@dataclass(frozen=True, slots=True)
class _StoredEntry:
    position: int
    kind: str
    root: str
    event: str
    leaf_hash: bytes
    ledger_index: int
    ledger_time: int | None
    chaining_hash: str


def _committees(database: sqlite3.Connection, lineage: Lineage) -> list[Committee]:
    """Return the committees that the log has, from epoch 0 on; their keys are checked.

    Raises WrongCommittee: the log belongs to another network, or has another committee in an epoch
        of the lineage; LogDamaged.
    """
    row = database.execute("SELECT network FROM cursor").fetchone()
    if row is None or row[0] != to_hex(lineage.network_id):
        raise errors.WrongCommittee("the log belongs to another network")
    listed = database.execute("SELECT document FROM committees ORDER BY epoch").fetchall()
    try:
        found = [Committee.from_json(parse(str(document))) for (document,) in listed]
        # Those that the caller knows were checked when they were loaded.
        check_all(each for each in found if each not in lineage.committees)
    except errors.DragonError as error:
        raise errors.LogDamaged(f"a committee of the log cannot be read: {error}") from None
    if not found or found[0].id != lineage.network_id:
        raise errors.LogDamaged("the log lacks the network's first committee")
    for committee in lineage.committees:
        if committee.epoch < len(found) and found[committee.epoch].id != committee.id:
            message = f"the log has another committee in epoch {committee.epoch}"
            raise errors.WrongCommittee(message, epoch=committee.epoch)
    return found


def _entries(database: sqlite3.Connection) -> Generator[_StoredEntry, None, None]:
    columns = ", ".join(_StoredEntry.__dataclass_fields__)
    with closing(database.execute(f"SELECT {columns} FROM entries ORDER BY position")) as found:  # noqa: S608
        for row in found:
            yield _checked(_StoredEntry(*row))


def _checked(entry: _StoredEntry) -> _StoredEntry:
    """Check the types of all columns, because SQLite stores values of any type."""
    kinds = {"position": int, "ledger_index": int, "ledger_time": int, "leaf_hash": bytes}
    for column in entry.__dataclass_fields__:
        value = getattr(entry, column)
        fit = type(value) is kinds.get(column, str) or (column, value) == ("ledger_time", None)
        if not fit or (isinstance(value, int) and not 0 <= value <= MAX_INTEGER):
            message = f"entry {entry.position!a}: column {column} has an invalid value"
            raise errors.LogDamaged(message, column=column)
    return entry


def _rows(database: sqlite3.Connection, table: Table) -> _Rows:
    known = database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table.name,)).fetchone()
    if known is None and table.name != "logs":
        return  # the file is older than this table
    query = f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY {table.order}"  # noqa: S608
    with closing(database.execute(query)) as found:
        yield from found


def _check_derived(entry: _StoredEntry, decoded: Event) -> None:
    leaf = event.leaf(decoded, entry.ledger_index)
    derived = {
        "event": (entry.event, canonical(decoded.to_json()).decode()),
        "kind": (entry.kind, decoded.claim.KIND),
        "root": (entry.root, event.root(decoded)),
        "leaf_hash": (entry.leaf_hash, merkle.leaf_hash(leaf)),
    }
    for column, (stored, expected) in derived.items():
        if stored != expected:
            raise _differs(entry.position, column)


class _DerivedRows:
    """Compares the rows of the derived tables with the events."""

    def __init__(self, stored: Mapping[str, _Rows]) -> None:
        self._stored = stored
        # For tables in which new rows replace old ones: the newest row of each key, by table.
        self._newest: dict[str, dict[str, tuple[Json, ...]]] = {}

    def check(self, entry: _StoredEntry) -> None:
        """Compare the rows of an entry's event with the next rows of their tables."""
        for row in derive(entry.position, event.decode(parse(entry.event))):
            table, values = row.table, tuple(row.values[column] for column in row.table.columns)
            if table.key is not None:
                self._newest.setdefault(table.name, {})[str(row.values[table.key])] = values
            elif next(self._stored[table.name], None) != values:
                raise _differs(entry.position, table.name)

    def check_rest(self) -> None:
        """Compare the tables with one row per key, and refuse rows that belong to no event."""
        for name, newest in self._newest.items():
            for key in sorted(newest):
                if next(self._stored[name], None) != newest[key]:
                    message = f"table {name}: the row of {key} differs from the log"
                    raise errors.LogDamaged(message, column=name)
        for name, left in self._stored.items():
            if next(left, None) is not None:
                raise errors.LogDamaged(f"table {name}: there is a row that belongs to no event")


def _differs(position: int, column: str) -> errors.LogDamaged:
    message = f"entry {position}: {column} does not match the event"
    return errors.LogDamaged(message, position=position, column=column)
