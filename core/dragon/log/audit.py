"""Verification of a whole log from its first entry, for `dragon verify log`.

The only value that is trusted is the ledger index of each entry: the operator recorded it from
finality proofs that the file does not contain. The column `ledger_time` is part of no rule.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from dragon import errors
from dragon.encoding import parse, to_hex
from dragon.log.audited_rows import (
    AuditedEntry,
    DerivedRows,
    check_counted,
    check_derived,
    read_entries,
    read_rows,
)
from dragon.log.batch_verification import BatchVerifier
from dragon.log.derived_tables import tables
from dragon.log.schema import check_format
from dragon.log.vouching import Vouched, vouched
from dragon.protocol import event, merkle
from dragon.protocol.committee import Committee
from dragon.protocol.committee_rules import check_all
from dragon.protocol.event import Event
from dragon.protocol.lineage import Lineage
from dragon.protocol.state import State
from dragon.protocol.transition import Verify, transition
from dragon.protocol.trust import Trust
from dragon.storage.sqlite_faults import sqlite_fault

ENTRIES_PER_BATCH: Final = 256  # entries that are verified together


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
                entries = open_.enter_context(closing(read_entries(database)))
                rows = DerivedRows(
                    {
                        table.name: open_.enter_context(closing(read_rows(database, table)))
                        for table in tables().values()
                    }
                )
                while together := list(islice(entries, ENTRIES_PER_BATCH if batched else 1)):
                    for entry, decoded in zip(
                        together, auditor.take(together, entropy), strict=True
                    ):
                        rows.check(entry.position, decoded)
                    progress(auditor.state.size)
                rows.check_rest()
            check_counted(database)
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

    def take(self, entries: Sequence[AuditedEntry], entropy: Callable[[int], bytes]) -> list[Event]:
        """Verify the next entries, with all signatures together; one by one if that fails.

        Returns their events.
        """
        if len(entries) == 1:
            return [self._take(entries[0], None)]
        before, verifier = (self.state, self._index), BatchVerifier(entropy)
        try:
            decoded = [self._take(entry, verifier) for entry in entries]
            valid = verifier.verify()
        except errors.DragonError:
            valid = False
        if valid:
            return decoded
        # Verify again one by one, so that the error names the first wrong entry.
        self.state, self._index = before
        self.tree.truncate(self.state.size)
        return [self._take(entry, None) for entry in entries]

    def _take(self, entry: AuditedEntry, verify: Verify[Event] | None) -> Event:
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
        check_derived(entry, decoded)
        self.tree.append(entry.leaf_hash)
        self.state = following
        return decoded


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
        checked = {committee.id for committee in lineage.committees}
        check_all(committee for committee in found if committee.id not in checked)
    except errors.DragonError as error:
        raise errors.LogDamaged(f"a committee of the log cannot be read: {error}") from None
    if not found or found[0].id != lineage.network_id:
        raise errors.LogDamaged("the log lacks the network's first committee")
    for committee in lineage.committees:
        if committee.epoch < len(found) and found[committee.epoch].id != committee.id:
            message = f"the log has another committee in epoch {committee.epoch}"
            raise errors.WrongCommittee(message, epoch=committee.epoch)
    return found
