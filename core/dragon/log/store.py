"""One operator's log: the verified, applied record of the ledger, in SQLite.

The log owns the tables of `migrations/`. State and tree are also kept in memory, and change only
after their transaction has committed. After a crash at any line, the file contains exactly the
batches up to some batch, and the next start reads state and tree from the file.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from dragon import errors
from dragon.encoding import Json
from dragon.log import cursor, entry_table, refused_events
from dragon.log.batch_verification import BatchVerifier
from dragon.log.cursor import Alarm
from dragon.log.index_tables import LogRow
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.queries import LogQueries
from dragon.log.refused_events import Refusal
from dragon.protocol import event, merkle
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event
from dragon.protocol.log_entry import LogEntry
from dragon.protocol.state import State, Verify, advance, transition
from dragon.storage.database import Database

__all__ = ["Alarm", "Log", "LogRow", "Refusal", "TreeHead"]


@dataclass(frozen=True, slots=True)
class TreeHead:
    """Size and root of a log, uncertified."""

    size: int
    root: bytes


class Log(LogQueries):
    """The log in one file. Use one object per file.

    Any thread may read. Only one thread may call `take` and `begin_at`.
    """

    def __init__(
        self,
        database: Database,
        committee: Committee,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Open the log and read state and tree from its file.

        Args:
            entropy: returns random bytes, for the batched verification of signatures.

        Raises LogDamaged: the file belongs to another committee, or contradicts itself.
        """
        super().__init__(database)
        self._committee = committee
        self._entropy = entropy
        self._lock = threading.Lock()
        self._state = State()
        self._tree = merkle.Tree()
        # Ledger index and root of the last entry, if it lies after the position: see `begin_at`.
        self._ahead: tuple[int, str] | None = None
        try:
            with database.write() as connection:
                self._position = cursor.read_cursor(connection, committee)
            self._alarm = self._read_alarm()
            self._reload()
        except DatabaseError as error:
            message = f"{database.path} cannot be read as a log: {error.orig}"
            raise errors.LogDamaged(message) from None

    @property
    def state(self) -> State:
        """What the applied events say."""
        return self._state

    @property
    def position(self) -> Position:
        """The position in the ledger up to which batches are applied."""
        return self._position

    def head(self, size: int | None = None) -> TreeHead:
        """Return size and root of the log, now or at a former size.

        Raises NotFound: the log has fewer entries than `size`.
        """
        with self._lock:
            # Only committed entries: a running transaction may have added leaves to the tree.
            whole = self._state.size
            size = whole if size is None else size
            if size > whole:
                raise errors.NotFound(f"the log has {whole} entries, not {size}", size=size)
            return TreeHead(size, self._tree.root(size))

    def inclusion(self, position: int, size: int) -> list[bytes]:
        """Return the path from an entry's leaf to the root at `size`. Raises NotFound."""
        with self._lock:
            return self._tree.inclusion(position, size)

    def take(self, *batches: ProvenBatch) -> list[LogEntry]:
        """Apply consecutive batches and advance the position, in one transaction.

        Batches that were applied before are skipped. So after a crash the same batches can be
        passed again, whether the transaction committed or not.

        Returns the entries that were added.

        Raises:
            LogStopped: there is an alarm.
            LedgerContradiction: a batch between the position and these batches is missing.
            Diverged: a quorum certified another log; none of these batches is applied.
        """
        if alarm := self.alarm():
            raise errors.LogStopped(alarm.detail, reason=alarm.reason)
        self._reload_if_outdated()
        following = [batch for batch in batches if batch.index > self._position.index]
        for expected, batch in enumerate(following, start=self._position.index + 1):
            if batch.index != expected:
                message = f"batch {expected} is missing before batch {batch.index}"
                raise errors.LedgerContradiction(message, expected=expected, index=batch.index)
        if not following:
            return []
        verifier = BatchVerifier(self._entropy)
        try:
            return self._take(following, verifier, verifier.verify)
        except (_InvalidSignature, errors.Diverged):
            # Verify each event alone: only a genuine event may stop the log, and only the
            # forged ones may be refused.
            return self._take(following, None, lambda: True)

    def _take(
        self,
        batches: Sequence[ProvenBatch],
        verify: Verify[Event] | None,
        all_valid: Callable[[], bool],
    ) -> list[LogEntry]:
        """Apply batches in one transaction; undo the changes to the tree if it fails.

        Args:
            verify: verifies one certificate; None for its own `verify`.
            all_valid: whether all signatures that `verify` postponed are valid.
        """
        outcome = _Outcome(self._state)
        try:
            with self._database.write() as connection:
                for batch in batches:
                    self._apply_batch(connection, batch, outcome, verify)
                if not all_valid():
                    raise _InvalidSignature
                refused_events.record(connection, outcome.refusals)
                cursor.advance_cursor(connection, batches[-1].position)
        except BaseException:
            with self._lock:
                self._tree.truncate(self._state.size)
            raise
        self._state, self._position = outcome.state, batches[-1].position
        return outcome.entries

    def _apply_batch(
        self,
        connection: Connection,
        batch: ProvenBatch,
        outcome: _Outcome,
        verify: Verify[Event] | None,
    ) -> None:
        try:
            values = event.decode_batch(batch.body)
        except errors.InvalidEncoding as error:
            outcome.refusals.append(Refusal.of(batch.index, 0, error, batch.body))
            return
        applied = self._applied_places(batch.index, values)
        for place, value in enumerate(values[applied:], start=applied):
            try:
                decoded = event.decode_item(value)
                state = self._apply(outcome.state, decoded, verify)
            except errors.Diverged:
                raise
            except errors.DragonError as error:
                refusal = Refusal.of(batch.index, place, error, event.excerpt(value))
                outcome.refusals.append(refusal)
                continue
            at, chaining_hash = outcome.state.size, batch.position.chaining_hash
            entry = LogEntry(at, decoded, batch.index, batch.time, chaining_hash)
            entry_table.append(connection, entry)
            with self._lock:
                self._tree.append(entry.leaf_hash)
            outcome.entries.append(entry)
            outcome.state = state

    def _applied_places(self, index: int, values: Sequence[Json | errors.InvalidEncoding]) -> int:
        """Return the number of places of batch `index` that are applied or refused already.

        More than 0 only if the log began at a checkpoint and now reads the checkpoint's last batch
        again. The other events before its last entry were refused, and are not tried again.
        """
        if self._ahead is None or self._ahead[0] != index:
            return 0
        for place in reversed(range(len(values))):
            with suppress(errors.DragonError):
                if event.root(event.decode_item(values[place])) == self._ahead[1]:
                    return place + 1
        return 0

    def _apply(self, state: State, decoded: Event, verify: Verify[Event] | None) -> State:
        return transition(state, decoded, self._committee, root_at=self._tree.root, verify=verify)

    def begin_at(self, claim: CheckpointClaim, entries: Sequence[LogEntry]) -> None:
        """Begin an empty log with the entries of a verified checkpoint.

        The entries are not verified one by one: they hash to the certified root. The last batch
        among them is read again, because the checkpoint may end in the middle of that batch.

        Raises:
            LogDamaged: the log is not empty.
            InvalidProof: the entries are not those of the checkpoint; nothing was stored.
        """
        if self._state.size or self._position.index:
            raise errors.LogDamaged("only an empty log can begin at a checkpoint")
        tree = merkle.Tree(entry.leaf_hash for entry in entries)
        if (len(tree), tree.root()) != (claim.size, claim.log_root):
            raise errors.InvalidProof("these entries are not those of the certified checkpoint")
        index = entries[-1].ledger_index - 1
        with self._database.write() as connection:
            for entry in entries:
                entry_table.append(connection, entry)
            # A position without a chaining hash: the sequencer client starts reading there.
            cursor.advance_cursor(connection, Position(index, ""))
        self._reload_if_outdated()
        if not index:
            self._reload()

    def _reload_if_outdated(self) -> None:
        """Reload if the file has more than memory: a commit succeeded, and the next step failed."""
        with self._database.read() as connection:
            index = cursor.stored_index(connection)
        if index == self._position.index:
            return
        with self._database.write() as connection:
            self._position = cursor.read_cursor(connection, self._committee)
        self._reload()

    def _reload(self) -> None:
        """Read state and tree from the file."""
        with self._lock:
            self._state, self._tree = State(), merkle.Tree()
        with self._database.read() as connection:
            for entry, leaf_hash in entry_table.read_all(connection):
                self._state = advance(self._state, entry.event.claim)
                self._tree.append(leaf_hash)
                ahead = entry.ledger_index > self._position.index
                self._ahead = (entry.ledger_index, event.root(entry.event)) if ahead else None

    def alarm(self) -> Alarm | None:
        """Return the alarm, if there is one. While the log is open, only this object raises one."""
        return self._alarm

    def _read_alarm(self) -> Alarm | None:
        with self._database.read() as connection:
            return cursor.read_alarm(connection)

    def raise_alarm(self, reason: str, detail: str) -> None:
        """Stop applying batches, durably. If there is an alarm already, keep it."""
        with self._database.write() as connection:
            cursor.store_alarm(connection, Alarm(reason, detail))
        self._alarm = self._read_alarm()


class _InvalidSignature(Exception):
    """At least one of many signatures is invalid; only single checks can find which one."""


class _Outcome:
    """The result of applying batches, until their transaction has committed."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.entries: list[LogEntry] = []
        self.refusals: list[Refusal] = []
