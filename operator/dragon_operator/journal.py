"""The journal: every decision to sign, written to disk before the signature is made.

It prevents an honest operator from signing two contradicting claims, even across `kill -9`. After a
crash before the row is committed, nothing was signed. After a crash between the commit and the
response, the operator repeats the same decision and never a different one.

No rule of the journal uses a clock. A decision on a round is deleted only in the transaction that
raises the *floor* above that round, and no round below the floor is decided. The floor follows log
time, which only a quorum can advance. So neither a clock that jumps nor a signed round of the
future makes the operator forget a decision or refuse the rounds of the present.

Checkpoints and totals have no rows, because they follow from the log: the root of its first n
entries, and the seconds that those entries give. So the journal contains the size and root of the
newest log that it was used with, and another log signs no such claims: neither one that was read
again and is shorter, nor one of a ledger that was reset. All logs that extend the recorded one have
the same entries up to its size, so no second root and no other totals of such a size can be signed.
Strangers, who may request the totals of any interval, leave nothing here. What their windows and
requested periods leave is bounded: see `window_journal` and `period_journal`.

Never restore an old copy of the journal: it lacks decisions that were already signed and sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, text

from dragon.encoding import to_hex
from dragon.errors import AttestationRefused
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.handover import AcceptanceClaim, HandoverClaim
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.committee import Committee, Seated
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.rounds import Rounds
from dragon.storage.database import Database
from dragon_operator import handover_journal, period_journal
from dragon_operator.journal_file import ARCHIVE_CLEARS, SCHEMA
from dragon_operator.window_journal import WindowJournal

__all__ = ["ARCHIVE_CLEARS", "SCHEMA", "Journal"]

MAX_STATUS_ROWS: Final = 500_000  # kept decisions on rounds; beyond, the floor rises
TRIM_INTERVAL: Final = 1024  # decisions on rounds between two checks of that maximum

_KNOWN_LOG: Final = "SELECT size, root FROM journal_log"
# Another thread may have recorded a longer log since.
_USE_LOG: Final = (
    "INSERT INTO journal_log VALUES (1, :size, :root) ON CONFLICT (id) DO UPDATE "
    "SET size = excluded.size, root = excluded.root WHERE excluded.size > size"
)


class Journal:
    """Decisions of one operator. A decision never changes.

    They are: (node, start of a round) → status; epoch → next committee; the size and root of the
    longest log signed for; (period, size) → report; and those on windows, in `windows`.
    """

    def __init__(self, database: Database, seated: Seated) -> None:
        self.windows = WindowJournal(database)
        self._database = database
        self._seated = seated
        self._until_trim = 0  # decisions; a race between threads moves the next check slightly

    @property
    def _rounds(self) -> Rounds:
        return self._seated.committee.rounds

    def since(self) -> int:
        """Return when this journal was created, in Unix seconds; 0 if that was long ago."""
        with self._database.read() as connection:
            created = connection.execute(text("SELECT since FROM journal_owner")).scalar()
        return int(created or 0)

    def recall(self, node_id: str, timestamp: int) -> Status | None:
        """Return the decided status of a node in the round from `timestamp`, or None."""
        with self._database.read() as connection:
            return _recall(connection, node_id, timestamp)

    def decide(self, claim: StatusClaim, log_time: int) -> None:
        """Record the decision to sign `claim`. It is on disk when this returns.

        Args:
            log_time: log time in Unix seconds. Claims that are `max_age` older than it can never
                be applied, so decisions on their rounds are deleted.

        Raises AttestationRefused: `equivocation` if the opposite was decided for that round;
        `off_round` if the round is so old that its decision may have been deleted.
        """
        timestamp = claim.timestamp
        with self._database.write() as connection:
            decided = _recall(connection, claim.node_id, timestamp)
            if decided is claim.status:
                return
            if decided is not None:
                message = f"already signed that {claim.node_id} was {decided} in that round"
                raise AttestationRefused(RefusalReason.EQUIVOCATION, message)
            floor = _raise_floor(connection, log_time - self._rounds.max_age)
            if timestamp < floor:
                message = f"{timestamp} is before the oldest round that may be signed, {floor}"
                raise AttestationRefused(RefusalReason.OFF_ROUND, message)
            values = {"node_id": claim.node_id, "timestamp": timestamp, "status": claim.status}
            query = text("INSERT INTO journal_status VALUES (:node_id, :timestamp, :status)")
            connection.execute(query, values)
            self._trim(connection)

    def decide_handover(
        self, claim: HandoverClaim | AcceptanceClaim, committee: Committee, log_time: int
    ) -> None:
        """Record the decision to sign for a handover, on either side: see `handover_journal`.

        Args:
            committee: the committee that holds; decisions on its epoch and earlier are deleted.
            log_time: Unix seconds.

        Raises AttestationRefused: `equivocation`.
        """
        with self._database.write() as connection:
            handover_journal.decide(connection, claim, committee.epoch, log_time)

    def is_signed(self, claim: PeriodClaim) -> bool:
        """Whether this very claim was signed before: see `period_journal`.

        Raises AttestationRefused: `equivocation`.
        """
        with self._database.read() as connection:
            return period_journal.is_signed(connection, claim)

    def decide_period(self, claim: PeriodClaim, log_time: int) -> None:
        """Record the decision to sign a report, after `decide_log_claim`: see `period_journal`.

        `log_time` is in Unix seconds. Raises AttestationRefused: `equivocation`.
        """
        with self._database.write() as connection:
            period_journal.decide(connection, claim, log_time)

    def _trim(self, connection: Connection) -> None:
        """Bound the table while log time stands still: forget the oldest rounds, for good."""
        self._until_trim -= 1
        if self._until_trim >= 0:
            return
        self._until_trim = TRIM_INTERVAL
        query = text(
            "SELECT timestamp FROM journal_status ORDER BY timestamp DESC LIMIT 1 OFFSET :most"
        )
        newest_deleted = connection.execute(query, {"most": MAX_STATUS_ROWS}).scalar()
        if newest_deleted is not None:
            _raise_floor(connection, newest_deleted + 1)

    def newest_before(self, node_id: str, timestamp: int) -> StatusClaim | None:
        """Return the newest claim signed about a node for a round before that of `timestamp`."""
        query = text(
            "SELECT timestamp, status FROM journal_status "
            "WHERE node_id = :node_id AND timestamp < :timestamp ORDER BY timestamp DESC LIMIT 1"
        )
        values = {"node_id": node_id, "timestamp": timestamp}
        with self._database.read() as connection:
            row = connection.execute(query, values).first()
        return StatusClaim(node_id, Status(row.status), row.timestamp) if row else None

    def newest_timestamp(self) -> int | None:
        """Return the start of the newest round that was decided for any node (Unix seconds)."""
        with self._database.read() as connection:
            newest = connection.execute(text("SELECT MAX(timestamp) FROM journal_status")).scalar()
        return None if newest is None else int(newest)

    def log_fault(self, root_at: Callable[[int], bytes | None]) -> str:
        """Return why claims about the log must not be signed; empty if they may.

        Args:
            root_at: returns the root of the log at a size; None if the log is shorter.
        """
        return _log_fault(self._database.query(_KNOWN_LOG, {}), root_at)

    def use_log(self, size: int, root_at: Callable[[int], bytes | None]) -> None:
        """Record that claims are signed for a log of that size. Call this before such decisions.

        Raises AttestationRefused: `behind` if the log does not extend the newest recorded one.
        """
        if (row := self._longer_log(size, root_at)) is not None:
            with self._database.transaction() as cursor:
                cursor.execute(_USE_LOG, row)

    def _longer_log(
        self, size: int, root_at: Callable[[int], bytes | None]
    ) -> dict[str, object] | None:
        """The row to record a log of that size; None if it needs not be recorded.

        Raises AttestationRefused: as `use_log`.
        """
        known = self._database.query(_KNOWN_LOG, {})
        if fault := _log_fault(known, root_at):
            raise AttestationRefused(RefusalReason.BEHIND, fault)
        root = root_at(size)
        if root is None or (known and known[0][0] >= size):
            return None
        return {"size": size, "root": to_hex(root)}

    def decide_window(
        self,
        claim: WindowClaim,
        windows: int,
        size: int,
        root_at: Callable[[int], bytes | None],
    ) -> None:
        """Record the decision to sign a verdict, with `use_log`, in one transaction.

        Args:
            windows: the number of windows of the stream in the log: see `WindowJournal.decide`.
            size: as for `use_log`.
            root_at: as for `use_log`.

        Raises AttestationRefused: `behind`, as `use_log`; `equivocation`.
        """
        row = self._longer_log(size, root_at)
        with self._database.transaction() as cursor:
            if row is not None:
                cursor.execute(_USE_LOG, row)
            self.windows.record(cursor, claim, windows)

    def decide_log_claim(
        self,
        claim: CheckpointClaim | DowntimeClaim | PeriodClaim,
        size: int,
        root_at: Callable[[int], bytes | None],
    ) -> None:
        """Record the decision to sign a claim that follows from the log.

        Args:
            size: of the log now, at least that of the claim.
            root_at: returns the root of the log at a size; None if the log is shorter.

        Raises AttestationRefused: `equivocation` if the log has another root than the claim;
            `behind` if the log does not extend the newest recorded one.
        """
        if root_at(claim.size) != claim.log_root:
            message = f"the log that is signed for has another root at size {claim.size}"
            raise AttestationRefused(RefusalReason.EQUIVOCATION, message)
        self.use_log(size, root_at)


def _raise_floor(connection: Connection, oldest: int) -> int:
    """Raise the floor to `oldest` (Unix seconds), delete earlier decisions, and return the floor.

    The newest decision on each node stays: the log may still have to change again because of it.
    """
    floor = connection.execute(text("SELECT timestamp FROM journal_floor")).scalar()
    if floor is not None and floor >= oldest:
        return int(floor)
    connection.execute(text("REPLACE INTO journal_floor VALUES (1, :oldest)"), {"oldest": oldest})
    query = text(
        "DELETE FROM journal_status WHERE timestamp < :oldest AND EXISTS (SELECT 1 FROM "
        "journal_status AS later WHERE later.node_id = journal_status.node_id "
        "AND later.timestamp > journal_status.timestamp)"
    )
    connection.execute(query, {"oldest": oldest})
    return oldest


def _log_fault(known: Sequence[tuple[Any, ...]], root_at: Callable[[int], bytes | None]) -> str:
    """Args: `known`, the row of the newest recorded log, if there is one."""
    if not known:
        return ""
    size, recorded = known[0]
    root = root_at(size)
    if root is None:
        return f"this log is shorter than the {size} entries that were signed for before"
    if to_hex(root) != recorded:
        return (
            f"this log has the root {to_hex(root)} at {size} entries, but this operator has "
            f"signed for a log with the root {recorded}"
        )
    return ""


def _recall(connection: Connection, node_id: str, timestamp: int) -> Status | None:
    query = text(
        "SELECT status FROM journal_status WHERE node_id = :node_id AND timestamp = :timestamp"
    )
    row = connection.execute(query, {"node_id": node_id, "timestamp": timestamp}).first()
    return Status(row.status) if row else None
