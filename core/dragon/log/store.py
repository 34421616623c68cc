"""One operator's log: the verified, applied record of the ledger, in SQLite.

Owns the tables of `migrations/`. State and tree are kept in memory too and change only after the
transaction that they describe has committed: a crash at any line leaves the file, and what is read
from it at the next start, at the end of some batch.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import DatabaseError

from dragon import errors
from dragon.encoding import Json, canonical, parse, to_hex
from dragon.log import index_tables
from dragon.log.batch_verification import BatchVerifier
from dragon.log.ledger import Position, ProvenBatch
from dragon.protocol import event, merkle
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event
from dragon.protocol.log_entry import LogEntry
from dragon.protocol.state import State, Verify, advance, transition
from dragon.storage.database import Database

REFUSED_KEPT: Final = 10_000
EXCERPT: Final = 200  # characters of a refused event that are kept


@dataclass(frozen=True, slots=True)
class LogRow:
    """The ancestors' columns."""

    id: int
    node_id: str
    status: str
    timestamp: int
    signature: str


@dataclass(frozen=True, slots=True)
class Refusal:
    ledger_index: int
    place: int  # within its batch, from 0
    reason: str
    detail: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class Alarm:
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class TreeHead:
    size: int
    root: bytes


class Log:
    """Batches in, entries out. One object a file; any thread may ask, one at a time takes."""

    def __init__(
        self,
        database: Database,
        committee: Committee,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Raises LogDamaged: the file is another committee's, or contradicts itself."""
        self._database = database
        self._committee = committee
        self._entropy = entropy
        self._lock = threading.Lock()
        self._state = State()
        self._tree = merkle.Tree()
        # The last entry's place, where it lies beyond the position: see `begin_at`.
        self._ahead: tuple[int, str] | None = None
        try:
            with database.write() as connection:
                self._position = _read_cursor(connection, committee)
            self._alarm = self._read_alarm()
            self._remember()
        except DatabaseError as error:
            message = f"{database.path} cannot be read as a log: {error.orig}"
            raise errors.LogDamaged(message) from None

    @property
    def state(self) -> State:
        return self._state

    @property
    def position(self) -> Position:
        return self._position

    def checkpoint(self, size: int | None = None) -> TreeHead:
        """Size and root now, or at a former size. Raises NotFound: never that large."""
        with self._lock:
            # Of what has committed: the tree may be growing with a transaction just now.
            whole = self._state.size
            size = whole if size is None else size
            if size > whole:
                raise errors.NotFound(f"the log has {whole} entries, not {size}", size=size)
            return TreeHead(size, self._tree.root(size))

    def inclusion(self, position: int, size: int) -> list[bytes]:
        with self._lock:
            return self._tree.inclusion(position, size)

    def take(self, *batches: ProvenBatch) -> list[LogEntry]:
        """Apply consecutive batches and advance past them, in one transaction.

        Taking a batch again is no error and changes nothing. If we crash before the commit, the
        batches come again; after it, they are skipped.

        Returns the entries that were added.

        Raises:
            LogStopped: an alarm stands.
            LedgerContradiction: not the batch that follows.
            Diverged: a quorum has certified another log; nothing of these batches is applied.
        """
        if alarm := self.alarm():
            raise errors.LogStopped(alarm.detail, reason=alarm.reason)
        self._keep_up_with_file()
        following = [batch for batch in batches if batch.index > self._position.index]
        for expected, batch in enumerate(following, start=self._position.index + 1):
            if batch.index != expected:
                message = "a batch is missing"
                raise errors.LedgerContradiction(message, expected=expected, index=batch.index)
        if not following:
            return []
        deferred = BatchVerifier(self._entropy)
        try:
            return self._take(following, deferred, deferred.verify)
        except (_NotAllGenuine, errors.Diverged):
            # Only what is genuine may stop a log, and which one is not has to be found out.
            return self._take(following, None, lambda: True)

    def _take(
        self,
        batches: Sequence[ProvenBatch],
        verify: Verify[Event] | None,
        holds: Callable[[], bool],
    ) -> list[LogEntry]:
        """One transaction. The tree grows with it, and shrinks again if it comes to nothing."""
        outcome = _Outcome(self._state)
        try:
            with self._database.write() as connection:
                for batch in batches:
                    self._apply_batch(connection, batch, outcome, verify)
                if not holds():
                    raise _NotAllGenuine
                _file_refusals(connection, outcome.refusals)
                _advance(connection, batches[-1].position)
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
        except errors.InvalidEncoding as refusal:
            outcome.refuse(batch, 0, refusal, batch.body)
            return
        taken = self._places_taken(batch.index, values)
        for place, value in enumerate(values[taken:], start=taken):
            try:
                decoded = event.decode_item(value)
                state = self._apply(outcome.state, decoded, batch.time, verify)
            except errors.Diverged:
                raise
            except errors.DragonError as refusal:
                outcome.refuse(batch, place, refusal, event.excerpt(value))
                continue
            at, chaining_hash = outcome.state.size, batch.position.chaining_hash
            entry = LogEntry(at, decoded, batch.index, batch.time, chaining_hash)
            _append(connection, entry)
            with self._lock:
                self._tree.append(entry.leaf_hash)
            outcome.entries.append(entry)
            outcome.state = state

    def _places_taken(self, index: int, values: Sequence[Json | errors.InvalidEncoding]) -> int:
        """How many places of a batch are behind us already: some only where a log that began at a
        checkpoint reads the last batch of it again. What was refused there stays refused."""
        if self._ahead is None or self._ahead[0] != index:
            return 0
        for place in reversed(range(len(values))):
            with suppress(errors.DragonError):
                if event.root(event.decode_item(values[place])) == self._ahead[1]:
                    return place + 1
        return 0

    def _apply(
        self, state: State, decoded: Event, time: int, verify: Verify[Event] | None
    ) -> State:
        return transition(
            state, decoded, time, self._committee, root_at=self._tree.root, verify=verify
        )

    def begin_at(self, claim: CheckpointClaim, entries: Sequence[LogEntry]) -> None:
        """Begin an empty log with the entries of a checkpoint whose certificate was verified.

        They are not verified one by one: that they hash to the certified root is enough. The
        last batch among them is read again, in case the checkpoint ends in its middle.

        Raises:
            LogDamaged: the log is not empty.
            InvalidProof: the entries are not those of the checkpoint; nothing was kept.
        """
        if self._state.size or self._position.index:
            raise errors.LogDamaged("only an empty log can begin at a checkpoint")
        tree = merkle.Tree(entry.leaf_hash for entry in entries)
        if (len(tree), tree.root()) != (claim.size, claim.log_root):
            raise errors.InvalidProof("these entries are not those of the certified checkpoint")
        index, time = entries[-1].ledger_index - 1, entries[-1].ledger_time
        with self._database.write() as connection:
            for entry in entries:
                _append(connection, entry)
            # An index without a chaining hash: the reader joins there.
            _advance(connection, Position(index, "", 0, time if index else 0))
        self._keep_up_with_file()
        if not index:
            self._remember()

    def _keep_up_with_file(self) -> None:
        """Should anything have failed between a commit and what follows it here, read it back."""
        with self._database.read() as connection:
            index = connection.execute(text("SELECT last_index FROM cursor")).scalar_one()
        if index == self._position.index:
            return
        with self._database.write() as connection:
            self._position = _read_cursor(connection, self._committee)
        self._remember()

    def _remember(self) -> None:
        """Read state and tree back from the file."""
        with self._lock:
            self._state, self._tree = State(), merkle.Tree()
        with self._database.read() as connection:
            found = connection.execute(text("SELECT * FROM entries ORDER BY position"))
            for expected, row in enumerate(found):
                if row.position != expected:
                    raise errors.LogDamaged(f"entry {expected} is missing", position=expected)
                entry = _entry(row)
                self._state = advance(self._state, entry.event.claim)
                self._tree.append(bytes(row.leaf_hash))
                ahead = entry.ledger_index > self._position.index
                self._ahead = (entry.ledger_index, event.root(entry.event)) if ahead else None

    def entry(self, position: int) -> LogEntry:
        """Raises NotFound: the log is not that long."""
        query = text("SELECT * FROM entries WHERE position = :position")
        with self._database.read() as connection:
            row = connection.execute(query, {"position": position}).first()
        if row is None:
            raise errors.NotFound(f"the log has no entry {position}", position=position)
        return _entry(row)

    def entries(self, after: int = -1, limit: int = 1000) -> list[LogEntry]:
        """Entries behind position `after`, oldest first."""
        query = text("SELECT * FROM entries WHERE position > :after ORDER BY position LIMIT :limit")
        with self._database.read() as connection:
            found = connection.execute(query, {"after": after, "limit": limit}).all()
        return [_entry(row) for row in found]

    def size_at(self, moment: int) -> int:
        """How many entries the ledger had taken by then, by its proven time (Unix seconds)."""
        query = text("SELECT COUNT(*) FROM entries WHERE ledger_time <= :moment")
        with self._database.read() as connection:
            return int(connection.execute(query, {"moment": moment}).scalar_one())

    def find(self, event_: Event) -> int | None:
        """The position of the applied event with that claim, if there is one."""
        query = text("SELECT position FROM entries WHERE root = :root")
        with self._database.read() as connection:
            row = connection.execute(query, {"root": event.root(event_)}).first()
        return row.position if row else None

    def rows(self, node_id: str | None, after: int, limit: int) -> list[LogRow]:
        """The `logs` table behind row id `after`, oldest first."""
        query = text(
            "SELECT id, node_id, status, timestamp, signature FROM logs WHERE id > :after "
            "AND (:node_id IS NULL OR node_id = :node_id) ORDER BY id LIMIT :limit"
        )
        values = {"node_id": node_id, "after": after, "limit": limit}
        with self._database.read() as connection:
            return [LogRow(*row) for row in connection.execute(query, values)]

    def refusals(self) -> dict[str, int]:
        """How many events were refused, by reason."""
        query = text("SELECT reason, count FROM refusals ORDER BY reason")
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def refused(self, limit: int = 100) -> Sequence[Refusal]:
        """The newest refused events, newest first."""
        query = text(
            "SELECT ledger_index, place, reason, detail, excerpt FROM refused "
            "ORDER BY id DESC LIMIT :limit"
        )
        with self._database.read() as connection:
            return [Refusal(*row) for row in connection.execute(query, {"limit": limit})]

    def refused_before(self, before: int, limit: int) -> list[tuple[int, Refusal]]:
        """Refused events of a smaller row id, with it, newest first."""
        query = text(
            "SELECT ledger_index, place, reason, detail, excerpt, id FROM refused "
            "WHERE id < :before ORDER BY id DESC LIMIT :limit"
        )
        with self._database.read() as connection:
            rows = connection.execute(query, {"before": before, "limit": limit}).all()
        return [(row.id, Refusal(*row[:5])) for row in rows]

    def alarm(self) -> Alarm | None:
        """The one that stands. Nothing but this object raises one while it is in use."""
        return self._alarm

    def _read_alarm(self) -> Alarm | None:
        with self._database.read() as connection:
            row = connection.execute(text("SELECT reason, detail FROM alarm")).first()
        return Alarm(row.reason, row.detail) if row else None

    def raise_alarm(self, reason: str, detail: str) -> None:
        """Stop applying, durably. The first alarm stands; a later one adds nothing."""
        query = text("INSERT OR IGNORE INTO alarm VALUES (1, :reason, :detail)")
        with self._database.write() as connection:
            connection.execute(query, {"reason": reason, "detail": detail})
        self._alarm = self._read_alarm()


class _NotAllGenuine(Exception):
    """Some signature among many is wrong; which one, only single checks can tell."""


class _Outcome:
    """What batches do to the log, until their transaction has committed."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.entries: list[LogEntry] = []
        self.refusals: list[Refusal] = []

    def refuse(
        self, batch: ProvenBatch, place: int, refusal: errors.DragonError, shown: str
    ) -> None:
        excerpt = shown[:EXCERPT].encode(errors="replace").decode()
        self.refusals.append(Refusal(batch.index, place, refusal.name, str(refusal), excerpt))


def _read_cursor(connection: Connection, committee: Committee) -> Position:
    """Where the file stands; a new file begins at genesis and belongs to this committee."""
    row = connection.execute(text("SELECT * FROM cursor")).first()
    owner = to_hex(committee.id)
    if row is None:
        query = text("INSERT INTO cursor VALUES (1, :owner, 0, '', 0, 0)")
        connection.execute(query, {"owner": owner})
        return Position()
    if row.committee != owner:
        raise errors.LogDamaged("the log belongs to another committee", committee=row.committee)
    return Position(row.last_index, row.chaining_hash, row.proof_index, row.proof_time)


def _advance(connection: Connection, position: Position) -> None:
    query = text(
        "UPDATE cursor SET last_index = :index, chaining_hash = :chaining_hash, "
        "proof_index = :proof_index, proof_time = :proof_time"
    )
    values = {
        "index": position.index,
        "chaining_hash": position.chaining_hash,
        "proof_index": position.proof_index,
        "proof_time": position.proof_time,
    }
    connection.execute(query, values)


def _append(connection: Connection, entry: LogEntry) -> None:
    connection.execute(
        text(
            "INSERT INTO entries VALUES (:position, :kind, :root, :event, :leaf_hash, "
            ":ledger_index, :ledger_time, :chaining_hash)"
        ),
        {
            "position": entry.position,
            "kind": entry.event.claim.KIND,
            "root": event.root(entry.event),
            "event": canonical(entry.event.to_json()).decode(),
            "leaf_hash": entry.leaf_hash,
            "ledger_index": entry.ledger_index,
            "ledger_time": entry.ledger_time,
            "chaining_hash": entry.chaining_hash,
        },
    )
    index_tables.insert(connection, entry.position, entry.event)


def _file_refusals(connection: Connection, refusals: Sequence[Refusal]) -> None:
    """Count them all and keep the newest. A few statements, however many there are: whoever can
    reach the sequencer can make us refuse."""
    if not refusals:
        return
    connection.execute(
        text(
            "INSERT INTO refused (ledger_index, place, reason, detail, excerpt) "
            "VALUES (:ledger_index, :place, :reason, :detail, :excerpt)"
        ),
        [asdict(refusal) for refusal in refusals[-REFUSED_KEPT:]],
    )
    connection.execute(
        text("DELETE FROM refused WHERE id <= (SELECT MAX(id) FROM refused) - :kept"),
        {"kept": REFUSED_KEPT},
    )
    connection.execute(
        text(
            "INSERT INTO refusals VALUES (:reason, :count) "
            "ON CONFLICT (reason) DO UPDATE SET count = count + excluded.count"
        ),
        [
            {"reason": reason, "count": count}
            for reason, count in Counter(refusal.reason for refusal in refusals).items()
        ],
    )


def _entry(row: Row[tuple[object, ...]]) -> LogEntry:
    try:
        decoded = event.decode(parse(row.event))
    except errors.DragonError as error:
        raise errors.LogDamaged(f"entry {row.position}: {error}", position=row.position) from None
    return LogEntry(
        row.position,
        decoded,
        row.ledger_index,
        row.ledger_time,
        row.chaining_hash,
    )
