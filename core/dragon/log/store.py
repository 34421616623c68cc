"""One operator's log: the verified, applied record of the ledger, in SQLite.

The log owns the tables of `migrations/`. State and tree are also kept in memory, and change only
after their transaction has committed. After a crash at any line, the file contains exactly the
batches up to some batch, and the next start reads state and tree from the file: from a snapshot and
the entries after it. `file_check` verifies the entries before it while the service works.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, cast

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from dragon import errors
from dragon.encoding import parse, to_hex
from dragon.log import block_table, committee_table, cursor, entry_table, refused_events, snapshot
from dragon.log.block_table import Blocks
from dragon.log.cursor import Alarm
from dragon.log.derived import Derived
from dragon.log.derived_tables import COUNTS, check_counts, tables
from dragon.log.downtime_index import DowntimeIndex, Totals
from dragon.log.evaluation import Evaluator, Outcome
from dragon.log.file_check import FileCheck
from dragon.log.index_tables import LogRow
from dragon.log.ledger import FinalityRule, Position, ProvenBatch
from dragon.log.listed_nodes import ListedNodes
from dragon.log.queries import LogQueries
from dragon.log.refused_events import Refusal
from dragon.log.snapshot import Snapshot
from dragon.log.verified_events import VerifiedEvents
from dragon.protocol import merkle
from dragon.protocol.claims.base import RootAt
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.committee import Committee
from dragon.protocol.handover import Handover, SignedMark
from dragon.protocol.log_entry import LogEntry, ProvenEntry
from dragon.protocol.state import State
from dragon.storage.damage import check_structure, unreadable
from dragon.storage.database import Database
from dragon.storage.sqlite_faults import sqlite_fault

__all__ = ["Alarm", "Log", "LogRow", "Refusal", "TreeHead"]

DAMAGED: Final = "log_damaged"
DIVERGED: Final = "diverged"
MAX_OFFERED: Final = 16  # committee files that may follow; each has at most 1 MiB
SNAPSHOT_ENTRIES: Final = 1024  # between two snapshots; the next start reads them again
# A large state is stored less often, so that snapshots take at most about this part of all writes.
_SNAPSHOT_BYTES_PER_ENTRY: Final = 256
_REPLAYED_TOGETHER: Final = 512  # entries that are read at once
_SMALL_TABLES: Final = (
    *("cursor", "committees", "committee_files"),
    *("alarm", "archived", "refusals", "schema_log", "snapshot"),
)
_LARGE_TABLES: Final = ("entries", "refused", "blocks", COUNTS)

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TreeHead:
    """Size and root of a log, uncertified."""

    size: int
    root: bytes


class Log(LogQueries):
    """The log in one file. Use one object per file.

    Any thread may read. Only one thread may call `take` and `begin_at`. What was verified through
    `verified` is not verified again when it is read from the ledger.
    """

    def __init__(
        self,
        database: Database,
        committee: Committee,
        entropy: Callable[[int], bytes] = os.urandom,
        *,
        pinned: Iterable[Committee] = (),
        snapshot_entries: int = SNAPSHOT_ENTRIES,
    ) -> None:
        """Open the log and read state and tree from its file.

        Without a usable snapshot, all entries are read and checked.

        Args:
            committee: any committee of the network, which its owner trusts. A handover to another
                one of that epoch, or of one before it, raises the alarm `diverged`.
            entropy: returns random bytes, for the batched verification of signatures.
            pinned: further committees up to that one. A new file needs that of epoch 0.
            snapshot_entries: entries between two snapshots, at least.

        Raises:
            LogDamaged: the file belongs to another network, or contradicts itself.
            DocumentMissing: a new file needs the network's first committee.
        """
        super().__init__(database)
        self._network_id = committee.network_id
        self._pinned = committee
        self._pins = {each.epoch: each for each in (*pinned, committee)}
        self.verified = VerifiedEvents()
        self._evaluator = Evaluator(entropy, self.verified)
        self._lock = threading.Lock()
        self._files_lock = threading.Lock()  # guards `_offered`; a writer of the file may take it
        self._state: State
        self._tree: merkle.Tree
        self._downtime: DowntimeIndex
        self._ledger_index = 0  # of the last entry
        self._blocks = Blocks(database)
        self._snapshot_entries = snapshot_entries
        self._next_snapshot = snapshot_entries  # size of the log
        self._listed = ListedNodes()
        self._before: Committee | None = None  # the committee before the one that holds
        self._node_lists: frozenset[bytes] = frozenset()  # that committees of this log have named
        self._offered: dict[bytes, Committee] = {}  # files of committees that may follow
        self._contradiction: Alarm | None = None  # with the pinned committees
        self._alarm: Alarm | None = None
        with unreadable(f"{database.path} cannot be read as a log"):
            with database.write() as connection:
                check_structure(connection, database.path, _SMALL_TABLES)
                self._position = cursor.read_cursor(connection, self._network_id)
                _note_founding(connection, self._pins.get(0, committee))
            relied_on = self._open()
            self._alarm = self._read_alarm() or self._contradiction
            self._check_position()
            self._check = FileCheck(
                database, (*_LARGE_TABLES, *tables()), relied_on, self.note_damage
            )

    @property
    def check(self) -> FileCheck:
        """The check of what this start has relied on. Run it in the background."""
        return self._check

    @property
    def state(self) -> State:
        """What the applied events say."""
        return self._state

    @property
    def committee(self) -> Committee:
        """The committee that holds. It changes when a handover is applied."""
        return self._state.committee

    @property
    def pinned(self) -> Committee:
        """The committee that the owner has given. It may be earlier or later than the log."""
        return self._pinned

    @property
    def committee_before(self) -> Committee | None:
        """The committee that handed over to the one that holds; None in epoch 0."""
        return self._before

    @property
    def finality_rule(self) -> FinalityRule:
        """Which finality proofs count for what follows this log."""
        sequencer = self.committee.sequencer
        former = self._node_lists.difference(sequencer.nodes_sha256)
        return FinalityRule(former, sequencer.threshold_percent)

    def offer(self, committee: Committee) -> None:
        """Provide a checked committee file that a handover may name.

        It proves nothing: only a certified handover that names its hash seats a committee. At most
        `MAX_OFFERED` files are kept until then, the newest.
        """
        with self._files_lock:
            self._offered.pop(committee.id, None)
            self._offered[committee.id] = committee
            for oldest in list(self._offered)[:-MAX_OFFERED]:
                del self._offered[oldest]

    def keep(self, committee: Committee) -> None:
        """Store a checked committee file for good. It is on disk when this returns.

        Call it before a handover to that committee is signed. Afterwards anybody may put the
        certificate on the ledger, and each log that reads it, now or in years, needs the file.
        """
        with self._database.read() as connection:
            is_kept = committee_table.read_file(connection, committee.id) is not None
        if not is_kept:
            with self._database.transaction() as changing:
                committee_table.keep(changing, committee)

    def document(self, committee_id: bytes) -> Committee | None:
        """Return an offered, pinned or stored committee file by its hash, if there is one."""
        if (found := self._in_memory(committee_id)) is not None:
            return found
        with self._read() as connection:
            raw = committee_table.read_file(connection, committee_id)
        return None if raw is None else Committee.from_json(parse(raw))

    def committee_file(self, committee_id: bytes) -> bytes | None:
        """Return a committee file by its hash, as `document`, in canonical JSON."""
        if (found := self._in_memory(committee_id)) is not None:
            return found.encode()
        with self._read() as connection:
            return committee_table.read_file(connection, committee_id)

    def _in_memory(self, committee_id: bytes) -> Committee | None:
        with self._files_lock:
            if (offered := self._offered.get(committee_id)) is not None:
                return offered
        return next((each for each in self._pins.values() if each.id == committee_id), None)

    @property
    def position(self) -> Position:
        """The position in the ledger up to which batches are applied."""
        return self._position

    def head(self, size: int | None = None) -> TreeHead:
        """Return size and root of the log, now or at a former size.

        Raises NotFound: the log has fewer entries than `size`.
        """
        with self._lock:
            # Only committed entries: an evaluation may have added leaves to the tree.
            whole = self._state.size
            size = whole if size is None else size
            if size > whole:
                raise errors.NotFound(f"the log has {whole} entries, not {size}", size=size)
            return TreeHead(size, self._tree.root(size))

    def totals(self, size: int, node_id: str, interval: tuple[int, int]) -> Totals:
        """Return a node's totals of an interval (Unix seconds), by the first `size` entries."""
        return self._downtime.totals(size, node_id, interval)

    def listed_nodes(self, size: int, interval: tuple[int, int]) -> list[str]:
        """Return the nodes that a committee has listed in an interval, as `ListedNodes.during`."""
        return self._listed.during(size, interval)

    def inclusion(self, position: int, size: int) -> list[bytes]:
        """Return the path from an entry's leaf to the root at `size`. Raises NotFound."""
        with self._lock:
            if size > (whole := self._state.size):
                raise errors.NotFound(f"the log has {whole} entries, not {size}", size=size)
            return self._tree.inclusion(position, size)

    def proven(self, position: int, size: int | None = None) -> ProvenEntry:
        """Return an entry with its path to the root at `size`, by default that of now.

        Raises NotFound: the log has no such entry, or is shorter than `size`.
        """
        entry, head = self.entry(position), self.head(size)
        path = tuple(self.inclusion(position, head.size))
        return ProvenEntry(entry, head.size, head.root, path)

    def anchored(self, position: int) -> ProvenEntry | None:
        """Return an entry with its path to the mark that vouches for it for longest.

        Returns None while no mark covers the entry. Raises NotFound: there is no such entry.
        """
        mark = self._state.anchor(position)
        if mark is None:
            self.entry(position)
            return None
        event = self.entry(mark.position).event
        if not isinstance(event, SignedMark):
            raise errors.LogDamaged(f"entry {mark.position} is no mark", position=mark.position)
        return replace(self.proven(position, mark.size), anchor=event)

    def take(self, *batches: ProvenBatch) -> list[LogEntry]:
        """Apply consecutive batches and advance the position, in one transaction.

        Certificates are verified before the transaction begins, because the time that this takes is
        chosen by anyone who can reach the sequencer. Readers and other writers of the file do not
        wait for it.

        Batches that were applied before are skipped. So after a crash the same batches can be
        passed again, whether the transaction committed or not.

        Behind a handover that changes which finality proofs count, no further batch is applied:
        these were proven by the rule of the committee before, and have to be read again.

        Returns the entries that were added; `position` tells whether all batches were applied.

        Raises:
            LogStopped: there is an alarm.
            LedgerContradiction: a batch between the position and these batches is missing.
            Diverged: a quorum certified another log, or handed over to another committee than the
                owner has pinned; none of these batches is applied.
            DocumentMissing: a handover names a committee file that was not offered; none of these
                batches is applied.
            LogDamaged: the file contradicts itself; there is an alarm now.
        """
        if alarm := self.alarm():
            raise errors.LogStopped(alarm.detail, reason=alarm.reason)
        try:
            return self._take(batches)
        except errors.LogDamaged as error:
            self.note_damage(error)
            raise

    def _take(self, batches: Sequence[ProvenBatch]) -> list[LogEntry]:
        self._reload_if_outdated()
        following = [batch for batch in batches if batch.index > self._position.index]
        for expected, batch in enumerate(following, start=self._position.index + 1):
            if batch.index != expected:
                message = f"batch {expected} is missing before batch {batch.index}"
                raise errors.LedgerContradiction(message, expected=expected, index=batch.index)
        if not following:
            return []
        try:
            outcome = self._evaluator.evaluate(self._state, following, self._roots, self.document)
            if (proven := self._proven_alike(following, outcome)) < len(following):
                following = following[:proven]
                outcome = self._evaluator.evaluate(
                    self._state, following, self._roots, self.document
                )
        finally:
            with self._lock:
                self._tree.truncate(self._state.size)
        self._check_pins(outcome)
        self._write(outcome, following[-1].position)
        return outcome.entries

    def _roots(self, added: Sequence[LogEntry]) -> RootAt:
        """Return a function for roots of the tree with the entries in `added`, which may grow."""
        size = self._state.size

        def root_at(at: int) -> bytes:
            hashes = [entry.leaf_hash for entry in added[len(self._tree) - size :]]
            with self._lock:
                for leaf_hash in hashes:
                    self._tree.append(leaf_hash)
                return self._tree.root(at)

        with self._lock:
            self._tree.truncate(size)
        return root_at

    def _write(self, outcome: Outcome, position: Position) -> None:
        """Write what was decided, in one transaction. Memory changes after it has committed."""
        hashes = [entry.leaf_hash for entry in outcome.entries]
        try:
            with self._database.transaction() as changing:
                for entry in outcome.entries:
                    self._append(changing, entry)
                for named in outcome.named.values():
                    committee_table.keep(changing, named)
                refused_events.record(changing, outcome.refusals)
                cursor.advance_cursor(changing, position)
        except sqlite3.IntegrityError as error:
            message = f"{self._database.path} contradicts the log in memory"
            message += f": {sqlite_fault(error)}"
            raise errors.LogDamaged(message) from None
        # Before the state: who reads the state may ask for totals of all of it.
        self._downtime.extend(outcome.state)
        self._before = self._before_that_of(outcome)
        seated = list(filter(None, map(self._seated_by, outcome.entries)))
        self._listed.extend(seated, outcome.state)
        self._node_lists = self._node_lists.union(*(each.sequencer.nodes_sha256 for each in seated))
        with self._lock:
            for leaf_hash in hashes:
                self._tree.append(leaf_hash)
            # The position last: if this is interrupted, the next call reads the file again.
            self._state = outcome.state
            self._position = position
        self._keep_snapshot(outcome.entries)

    def _keep_snapshot(self, added: Sequence[LogEntry]) -> None:
        """Store a snapshot if it is due. The entries are applied already, so nothing is raised."""
        if added:
            self._ledger_index = added[-1].ledger_index
        if self._state.size < self._next_snapshot:
            return
        derived = Derived(self._state, self._tree, self._downtime, self._ledger_index)
        try:
            self._store_snapshot(derived)
        except errors.LogDamaged as error:
            self.note_damage(error)
            return
        except errors.DiskError:
            return  # `Disk` logs it; the next snapshot will be a later one
        self._state = derived.state

    def _store_snapshot(self, derived: Derived) -> None:
        """Store the snapshot and its blocks in one transaction, then forget the blocks.

        Raises LogDamaged, DiskError; then nothing has changed.
        """
        self._next_snapshot = derived.state.size + self._snapshot_entries
        if not snapshot.can_store(derived.state):
            return
        derived.downtime.extend(derived.state)
        derived.check_roots()
        made = snapshot.encode(derived)
        with self._database.write() as connection:
            if self._alarm is not None:
                return  # `note_damage` deletes the snapshot, before this or after it
            for series, number, content in derived.new_blocks():
                block_table.write(connection, series, number, content)
            snapshot.store(connection, made)
        with self._lock:
            derived.forget_blocks(self._blocks)
        pause = max(self._snapshot_entries, len(made.content) // _SNAPSHOT_BYTES_PER_ENTRY)
        self._next_snapshot = made.size + pause

    def _check_pins(self, outcome: Outcome) -> None:
        """Check that no handover leaves the chain of the pinned committee. Raises Diverged."""
        for entry in outcome.entries:
            if isinstance(claim := entry.event.claim, HandoverClaim):
                pinned = self._pinned_id(claim.epoch)
                if pinned is not None and pinned != claim.next:
                    raise errors.Diverged(_other_committee(claim.epoch, claim.next, pinned))

    def _pinned_id(self, epoch: int) -> bytes | None:
        """Return the id of an epoch's committee, as far as the pinned files state it."""
        if (found := self._pins.get(epoch)) is not None:
            return found.id
        following = self._pins.get(epoch + 1)
        return following.previous if following else None

    def _contradiction_of(self, committees: Iterable[Committee]) -> Alarm | None:
        """Return an alarm if this log has other committees than the owner has pinned.

        It is not stored: another committee file, or another database, ends it.
        """
        for committee in committees:
            pinned = self._pinned_id(committee.epoch)
            if pinned is not None and pinned != committee.id:
                return Alarm(DIVERGED, _other_committee(committee.epoch, committee.id, pinned))
        return None

    def _proven_alike(self, batches: Sequence[ProvenBatch], outcome: Outcome) -> int:
        """Return how many of the batches count by the finality rule that they were read with.

        They are those up to the first handover to a committee with another rule.
        """
        for entry in outcome.entries:
            seated = self._seated_by(entry)
            if seated is not None and seated.sequencer != self.committee.sequencer:
                return sum(batch.index <= entry.ledger_index for batch in batches)
        return len(batches)

    def _before_that_of(self, outcome: Outcome) -> Committee | None:
        """Return the committee before the one that holds after these entries."""
        last = outcome.state.committee
        if last == self.committee:
            return self._before
        return (
            self.committee if last.previous == self.committee.id else self.document(last.previous)
        )

    def _seated_by(self, entry: LogEntry) -> Committee | None:
        """Return the committee that an entry seats, if it is a handover and the file is at hand."""
        event = entry.event
        return self.document(event.claim.next) if isinstance(event, Handover) else None

    def _append(self, changing: sqlite3.Cursor, entry: LogEntry) -> None:
        """Write an entry, and the committee that it seats. Raises DocumentMissing."""
        entry_table.append(changing, entry)
        if isinstance(entry.event, Handover):
            seated = self.document(entry.event.claim.next)
            if seated is None:
                raise errors.DocumentMissing("the file of a seated committee is not at hand")
            committee_table.append(changing, seated, entry.position)

    def begin_at(self, claim: CheckpointClaim, entries: Sequence[LogEntry]) -> None:
        """Begin an empty log with the entries of a verified checkpoint.

        The entries are not verified one by one: they hash to the certified root. Those of the last
        batch are left out, and the log applies that batch itself: the checkpoint may end in the
        middle of it, and what the rest of a batch does depends on the events before.

        Raises:
            LogDamaged: the log is not empty.
            InvalidProof: the entries are not those of the checkpoint; nothing was stored.
        """
        if self._state.size or self._position.index:
            raise errors.LogDamaged("only an empty log can begin at a checkpoint")
        tree = merkle.Tree(entry.leaf_hash for entry in entries)
        if (len(tree), tree.root()) != (claim.size, claim.log_root):
            raise errors.InvalidProof("these entries are not those of the certified checkpoint")
        last = entries[-1].ledger_index
        with self._database.transaction() as changing:
            for entry in entries:
                if entry.ledger_index < last:
                    self._append(changing, entry)
            # A position without a chaining hash: the sequencer client starts reading there.
            cursor.advance_cursor(changing, Position(last - 1, ""))
        self._reload_if_outdated()

    def _reload_if_outdated(self) -> None:
        """Reload if the file has more than memory: a commit succeeded, and the next step failed."""
        index = cursor.stored_index(self._database)
        if index == self._position.index:
            return
        with self._database.write() as connection:
            position = cursor.read_cursor(connection, self._network_id)
        self._open()
        # The position last: if the file cannot be read now, the next call tries again.
        self._position = position

    def _open(self) -> Snapshot | None:
        """Read state and tree from the file, from the snapshot if it is usable.

        Returns the snapshot that was used. The entries that it covers are not checked.
        Raises LogDamaged.
        """
        with self._database.read() as connection:
            committees = [each for each, _ in committee_table.read_all(connection)]
        self._blocks = blocks = Blocks(self._database)
        found = self._from_snapshot(committees)
        derived, relied_on = found or (self._from_entries(committees), None)
        if derived.state.committee.epoch != len(committees) - 1:
            raise errors.LogDamaged("table committees has a committee that was not seated")
        blocks.on_damage = self.note_damage
        self._listed.extend(committees, derived.state)
        self._before = committees[-2] if len(committees) > 1 else None
        self._contradiction = self._contradiction_of(committees)
        self._node_lists = frozenset(
            digest for each in committees for digest in each.sequencer.nodes_sha256
        )
        with self._lock:
            self._downtime, self._ledger_index = derived.downtime, derived.ledger_index
            self._state, self._tree = derived.state, derived.tree
        return relied_on

    def _from_snapshot(self, committees: Sequence[Committee]) -> tuple[Derived, Snapshot] | None:
        """Return what the snapshot and the entries after it say, and the snapshot.

        Returns None if there is no snapshot, or one that was altered or does not fit: then only a
        start that reads all entries tells what is damaged.
        """
        try:
            with self._database.read() as connection:
                found = snapshot.load(connection)
                last = entry_table.read_one(connection, found.size - 1) if found else None
            if found is None:
                return None
            derived = snapshot.decode(found, committees, self._blocks)
            if last is None or last.leaf_hash != derived.tree.leaf(found.size - 1):
                raise errors.LogDamaged("the snapshot does not fit to the entries")
            self._next_snapshot = found.size + self._snapshot_entries
            self._replay(derived, committees)
        except errors.LogDamaged as error:
            logger.warning("snapshot_unusable", detail=str(error))
            return None
        return derived, found

    def _from_entries(self, committees: Sequence[Committee]) -> Derived:
        """Return what all entries say. Raises LogDamaged."""
        with self._database.write() as connection:
            check_structure(connection, self._database.path, (*_LARGE_TABLES, *tables()))
            check_counts(connection.exec_driver_sql)
            snapshot.delete(connection)
        self._next_snapshot = self._snapshot_entries
        derived = Derived.of(committees[0], self._blocks)
        self._replay(derived, committees)
        return derived

    def _replay(self, derived: Derived, committees: Sequence[Committee]) -> None:
        """Apply the stored entries that follow, and compare with the newest certified root.

        Snapshots are stored meanwhile, so that the memory that this takes is bounded.
        Raises LogDamaged.
        """
        while True:
            with self._database.read() as connection:
                after = derived.state.size - 1
                page = list(entry_table.read_after(connection, after, _REPLAYED_TOGETHER))
            if not page:
                break
            for entry in page:
                derived.apply(entry, committees)
            if derived.state.size >= self._next_snapshot:
                self._store_snapshot(derived)
        derived.downtime.extend(derived.state)
        derived.check_roots()

    def _check_position(self) -> None:
        """Check that the cursor is not before the last entry. Raises LogDamaged."""
        with self._database.read() as connection:
            cursor.check_last(
                self._position, entry_table.read_one(connection, self._state.size - 1)
            )

    def alarm(self) -> Alarm | None:
        """Return the alarm, if there is one. While the log is open, only this object raises one."""
        return self._alarm

    def note_damage(self, error: errors.LogDamaged) -> None:
        """Raise the alarm `log_damaged`: no batch is applied until the service is started again.

        It is not stored, because the file is damaged. The next start checks the whole file: it has
        no snapshot any more.
        """
        if self._alarm is not None:
            return
        self._alarm = Alarm(DAMAGED, str(error))
        logger.error("alarm_raised", reason=DAMAGED, detail=str(error))
        faults = suppress(DatabaseError, errors.LogDamaged, errors.DiskError)
        with faults, self._database.write() as connection:
            snapshot.delete(connection)

    def _read_alarm(self) -> Alarm | None:
        with self._database.read() as connection:
            return cursor.read_alarm(connection)

    def raise_alarm(self, reason: str, detail: str) -> None:
        """Stop applying batches, durably. If there is an alarm already, keep it."""
        with self._database.write() as connection:
            cursor.store_alarm(connection, Alarm(reason, detail))
        self._alarm = self._read_alarm()


def _other_committee(epoch: int, named: bytes, pinned: bytes) -> str:
    return (
        f"the ledger hands over to committee {to_hex(named)} in epoch {epoch}, and the committee "
        f"file of this service names {to_hex(pinned)}"
    )


def _note_founding(connection: Connection, committee: Committee) -> None:
    """Write the network's first committee into a new file. Raises DocumentMissing."""
    if committee_table.read_all(connection):
        return
    if committee.epoch != 0:
        message = f"a new log needs the committee of epoch 0, not only that of {committee.epoch}"
        raise errors.DocumentMissing(message, committee=to_hex(committee.network_id))
    # The driver's cursor, in the same transaction.
    committee_table.append(cast("sqlite3.Cursor", connection.connection.cursor()), committee, None)
