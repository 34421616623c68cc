"""The journal: what this operator has decided to sign, on disk before any signature leaves.

It is what keeps an honest operator from signing two opposite claims about one round, also across
`kill -9`. Crash before the row is committed: nothing was signed. Crash after it, before the answer
went out: the same decision is signed again when asked, never another.

An old copy of the journal must never be put back: it would forget decisions that have left.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from dragon.encoding import canonical, to_hex
from dragon.errors import AttestationRefused
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import Verdict, WindowClaim
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.rounds import Rounds
from dragon.storage.database import Database

SCHEMA: Final = "dragon_operator:migrations"
# Decisions on checkpoints are about the history that `dragon log archive` sets aside. All others
# stay: an operator must never forget what it signed.
ARCHIVE_CLEARS: Final = ("journal_checkpoint",)
TOTALS_KEPT: Final = 30 * 24 * 3600  # seconds for which a decision on totals is remembered
MOST_TOTALS: Final = 50_000
MARGIN: Final = 3  # rounds behind the newest signed one that may still be decided


_VALID: Final = text(
    "SELECT header FROM journal_window WHERE stream = :stream AND number = :number"
)
_CALL_VALID: Final = text("INSERT OR IGNORE INTO journal_window VALUES (:stream, :number, :header)")
_REFUTED: Final = text(
    "SELECT reason FROM journal_refuted "
    "WHERE stream = :stream AND number = :number AND proof = :proof"
)
_REFUTE: Final = text(
    "INSERT OR IGNORE INTO journal_refuted VALUES (:stream, :number, :proof, :reason)"
)
_FORGET_WINDOWS: Final = (
    text("DELETE FROM journal_window WHERE stream = :stream AND number < :windows"),
    text("DELETE FROM journal_refuted WHERE stream = :stream AND number < :windows"),
)


class Journal:
    """Decisions: (node, round) → status, size → root, (node, interval, size) → totals, (stream,
    number) → header once valid, (stream, number, proof) → reason. None is ever changed."""

    def __init__(self, database: Database, rounds: Rounds) -> None:
        self._database = database
        self._rounds = rounds

    def recall(self, node_id: str, number: int) -> Status | None:
        """What was decided about that node in that round, if anything."""
        with self._database.read() as connection:
            return _recall(connection, node_id, number)

    def decide(self, claim: StatusClaim) -> None:
        """Record the decision to sign `claim`; it is on disk when this returns.

        Raises AttestationRefused: `equivocation` where the round was decided otherwise, `off_round`
        where it lies so far back that a decision may have been forgotten.
        """
        number = self._rounds.number(claim.timestamp)
        with self._database.write() as connection:
            decided = _recall(connection, claim.node_id, number)
            if decided is claim.status:
                return
            if decided is not None:
                message = f"{claim.node_id} was said to be {decided} in that round"
                raise AttestationRefused(RefusalReason.EQUIVOCATION, message)
            newest = connection.execute(text("SELECT MAX(round) FROM journal_status")).scalar()
            if newest is not None and number < newest - MARGIN:
                message = "that round is too far behind the newest one that was signed"
                raise AttestationRefused(RefusalReason.OFF_ROUND, message)
            values = {"node_id": claim.node_id, "round": number, "status": str(claim.status)}
            query = text("INSERT INTO journal_status VALUES (:node_id, :round, :status)")
            connection.execute(query, values)
            self._prune(connection, max(number, newest or number))

    def pending(self, node_id: str, since: int) -> list[StatusClaim]:
        """Claims on that node signed for rounds that began at `since` (Unix seconds) or later."""
        query = text(
            "SELECT round, status FROM journal_status WHERE node_id = :node_id AND round >= :first "
            "ORDER BY round"
        )
        first = self._rounds.number(since + self._rounds.seconds - 1)
        with self._database.read() as connection:
            rows = connection.execute(query, {"node_id": node_id, "first": first}).all()
        return [StatusClaim(node_id, Status(r.status), self._rounds.start(r.round)) for r in rows]

    def decide_checkpoint(self, claim: CheckpointClaim, applied: int) -> None:
        """Record the decision to sign a checkpoint; `applied` is the size of the last applied one.

        Raises AttestationRefused: `equivocation`.
        """
        decided = text("SELECT root FROM journal_checkpoint WHERE size = :size")
        row = {"size": claim.size, "root": to_hex(claim.log_root)}
        with self._database.write() as connection:
            known = connection.execute(decided, row).scalar()
            _check_same(known, row["root"], f"another root at {claim.size} entries was signed")
            insert = text("INSERT OR IGNORE INTO journal_checkpoint VALUES (:size, :root)")
            connection.execute(insert, row)
            prune = text("DELETE FROM journal_checkpoint WHERE size <= :applied")
            connection.execute(prune, {"applied": applied})

    def decide_downtime(self, claim: DowntimeClaim, now: int) -> None:
        """Record the decision to sign totals; `now` in Unix seconds.

        Raises AttestationRefused: `equivocation`.
        """
        decided = text(
            "SELECT totals FROM journal_downtime WHERE node_id = :node_id AND begin = :begin "
            "AND end = :end AND size = :size"
        )
        row = {
            "node_id": claim.node_id,
            "begin": claim.begin,
            "end": claim.end,
            "size": claim.size,
            "totals": canonical(claim.members()).decode(),
            "now": now,
        }
        with self._database.write() as connection:
            known = connection.execute(decided, row).scalar()
            _check_same(known, row["totals"], "other totals of that interval were signed")
            if known is None:
                _check_room(connection)
            insert = text(
                "INSERT OR IGNORE INTO journal_downtime "
                "VALUES (:node_id, :begin, :end, :size, :totals, :now)"
            )
            connection.execute(insert, row)
            prune = text("DELETE FROM journal_downtime WHERE decided_at < :oldest")
            connection.execute(prune, {"oldest": now - TOTALS_KEPT})

    def decide_window(self, claim: WindowClaim, windows: int) -> None:
        """Record the decision to sign a verdict; the log has `windows` windows of the stream.

        A window that was called valid may be signed with another proof, and in another round. Of
        what the log has nothing more is signed, so those rows go.

        Raises AttestationRefused: `equivocation`.
        """
        valid = claim.verdict is Verdict.VALID
        place = {"stream": claim.stream, "number": claim.number, "proof": claim.proof}
        row = {**place, "header": claim.header, "reason": str(claim.reason), "windows": windows}
        with self._database.write() as connection:
            if valid:
                known = connection.execute(_VALID, row).scalar()
                _check_same(known, claim.header, "another window of that number was called valid")
                connection.execute(_CALL_VALID, row)
            else:
                known = connection.execute(_REFUTED, row).scalar()
                _check_same(known, row["reason"], "that proof was refuted for another reason")
                connection.execute(_REFUTE, row)
            for forget in _FORGET_WINDOWS:
                connection.execute(forget, row)

    def _prune(self, connection: Connection, newest: int) -> None:
        """Rows below the mark are refused, but kept while a claim in them may still be applied."""
        kept = MARGIN + -(-self._rounds.max_age // self._rounds.seconds)
        query = text("DELETE FROM journal_status WHERE round < :mark")
        connection.execute(query, {"mark": newest - kept})


def _check_room(connection: Connection) -> None:
    """Anybody may ask about any interval, and each new one takes a row for a month."""
    count = connection.execute(text("SELECT COUNT(*) FROM journal_downtime")).scalar_one()
    if count >= MOST_TOTALS:
        raise AttestationRefused(RefusalReason.BUSY, "too many intervals were asked about lately")


def _check_same(known: object, wanted: object, message: str) -> None:
    if known is not None and known != wanted:
        raise AttestationRefused(RefusalReason.EQUIVOCATION, message)


def _recall(connection: Connection, node_id: str, number: int) -> Status | None:
    query = text("SELECT status FROM journal_status WHERE node_id = :node_id AND round = :round")
    row = connection.execute(query, {"node_id": node_id, "round": number}).first()
    return Status(row.status) if row else None
