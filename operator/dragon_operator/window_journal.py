"""Decisions on windows of streams: the part of the journal that strangers can make grow.

A decision is deleted once the log has a valid window of that number: no verdict on it is signed any
more. Anyone can create streams whose windows never get into the log, so for these streams only the
newest decisions are kept. What is deleted is never decided again:

* Of a valid window, the stream falls into one of `PRUNED_BUCKETS` buckets, by a hash with a token
  that only this journal contains. The bucket keeps the highest deleted number. Up to that number,
  no window of a stream in that bucket is signed as valid unless its decision is still stored. So
  an operator never signs two valid windows of one number, whatever was deleted. The price is that
  it also abstains from windows of the few other streams in that bucket, which need the quorum of
  the other operators. These have other tokens, and so other buckets.
* Of an invalid proof, nothing is kept. The finding follows from the objects alone, which the claim
  names by their hashes. So an operator that verifies them again comes to the same reason.

Decisions on windows of known streams are never deleted because of others.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from dragon.errors import AttestationRefused
from dragon.protocol.claims.window import Verdict, WindowClaim
from dragon.protocol.refusal import RefusalReason
from dragon.storage.database import Database

MAX_NEW_DECISIONS: Final = 16_384  # kept of all new streams, valid and invalid ones each
PRUNED_BUCKETS: Final = 1 << 22  # rows of `journal_pruned` at most: about 50 MB

_VALID: Final = "SELECT header FROM journal_window WHERE stream = :stream AND number = :number"
_CALL_VALID: Final = (
    "INSERT OR IGNORE INTO journal_window (stream, number, header, timestamp) "
    "VALUES (:stream, :number, :header, :timestamp)"
)
_REFUTED: Final = (
    "SELECT reason FROM journal_refuted "
    "WHERE stream = :stream AND number = :number AND proof = :proof"
)
_REFUTE: Final = (
    "INSERT OR IGNORE INTO journal_refuted (stream, number, proof, reason, timestamp) "
    "VALUES (:stream, :number, :proof, :reason, :timestamp)"
)
_FORGET_WINDOWS: Final = (
    "DELETE FROM journal_window WHERE stream = :stream AND number < :windows",
    "DELETE FROM journal_refuted WHERE stream = :stream AND number < :windows",
)
_COUNTS: Final = (
    "SELECT COUNT(*) FROM journal_window",
    "SELECT COUNT(*) FROM journal_refuted",
)
_STREAMS: Final = (
    "SELECT DISTINCT stream FROM journal_window UNION SELECT DISTINCT stream FROM journal_refuted"
)
# Oldest first.
_ALL_VALID: Final = "SELECT stream, number FROM journal_window ORDER BY timestamp, stream, number"
_ALL_REFUTED: Final = (
    "SELECT stream, number, proof FROM journal_refuted ORDER BY timestamp, stream, number, proof"
)
_DELETE_VALID: Final = "DELETE FROM journal_window WHERE stream = :stream AND number = :number"
_DELETE_REFUTED: Final = (
    "DELETE FROM journal_refuted WHERE stream = :stream AND number = :number AND proof = :proof"
)
_PRUNED: Final = "SELECT number FROM journal_pruned WHERE bucket = :bucket"
_PRUNE: Final = (
    "INSERT INTO journal_pruned VALUES (:bucket, :number) ON CONFLICT (bucket) DO UPDATE "
    "SET number = excluded.number WHERE excluded.number > number"
)


class WindowJournal:
    """(stream, number) → header of the valid window; (stream, number, proof) → why invalid."""

    def __init__(self, database: Database) -> None:
        """`database`: the file of the journal."""
        self._database = database

    def decide(self, claim: WindowClaim, windows: int) -> None:
        """Record the decision to sign a verdict. It is on disk when this returns.

        `windows` is the number of windows of the stream in the log. No verdict on them is signed
        any more, so their rows are deleted. A valid window may be signed again, with another proof
        or in another round.

        Raises AttestationRefused: `equivocation`.
        """
        with self._database.transaction() as cursor:
            self.record(cursor, claim, windows)

    def record(self, cursor: sqlite3.Cursor, claim: WindowClaim, windows: int) -> None:
        """Do as `decide` in a transaction of the caller. Raises AttestationRefused."""
        place = {"stream": claim.stream, "number": claim.number, "proof": claim.proof}
        decided = {"reason": str(claim.reason), "timestamp": claim.timestamp}
        row = {**place, "header": claim.header, **decided}
        if claim.verdict is Verdict.VALID:
            self._call_valid(cursor, claim, row)
        else:
            known = _first(cursor, _REFUTED, row)
            message = "already signed another reason for that invalid proof"
            _check_same(known, row["reason"], message)
            cursor.execute(_REFUTE, row)
        self._forget(cursor, claim.stream, windows)

    def prune(self, is_known: Callable[[bytes], bool], windows: Callable[[bytes], int]) -> None:
        """Delete the oldest decisions on windows of new streams beyond `MAX_NEW_DECISIONS`.

        Args:
            is_known: whether a stream is known, by its id.
            windows: returns the number of windows of a stream in the log.
        """
        counts = [self._database.value(count, {}) for count in _COUNTS]
        if max(counts) <= MAX_NEW_DECISIONS:
            return
        with self._database.transaction() as cursor:
            streams = {bytes(stream) for (stream,) in cursor.execute(_STREAMS).fetchall()}
            for stream in streams:
                self._forget(cursor, stream, windows(stream))
            for row in _beyond(cursor.execute(_ALL_VALID).fetchall(), is_known):
                stream, number = row
                cursor.execute(_PRUNE, {"bucket": self._bucket(bytes(stream)), "number": number})
                cursor.execute(_DELETE_VALID, {"stream": stream, "number": number})
            for row in _beyond(cursor.execute(_ALL_REFUTED).fetchall(), is_known):
                stream, number, proof = row
                values = {"stream": stream, "number": number, "proof": proof}
                cursor.execute(_DELETE_REFUTED, values)

    @staticmethod
    def _forget(cursor: sqlite3.Cursor, stream: bytes, windows: int) -> None:
        """Delete decisions on windows that the log has."""
        for forget in _FORGET_WINDOWS:
            cursor.execute(forget, {"stream": stream, "windows": windows})

    def _call_valid(
        self, cursor: sqlite3.Cursor, claim: WindowClaim, row: Mapping[str, object]
    ) -> None:
        known = _first(cursor, _VALID, row)
        _check_same(known, claim.header, "already signed another valid window with that number")
        pruned = _first(cursor, _PRUNED, {"bucket": self._bucket(claim.stream)})
        if known is None and pruned is not None and claim.number <= pruned:
            message = (
                "decisions on that window may have been deleted, because many windows of streams "
                "without a certified window were decided since"
            )
            raise AttestationRefused(RefusalReason.EQUIVOCATION, message)
        cursor.execute(_CALL_VALID, row)

    def _bucket(self, stream: bytes) -> int:
        digest = hashlib.sha256(self._token + stream).digest()
        return int.from_bytes(digest[:8], "big") % PRUNED_BUCKETS

    @cached_property
    def _token(self) -> bytes:
        """What nobody else knows, so that nobody can choose a stream's bucket."""
        token = self._database.value("SELECT token FROM journal_owner", {})
        return str(token or "").encode()


def _first(cursor: sqlite3.Cursor, query: str, values: Mapping[str, object]) -> Any:
    """The first value of the first row, or None."""
    row = cursor.execute(query, values).fetchone()
    return row[0] if row else None


def _beyond(
    rows: Sequence[tuple[Any, ...]], is_known: Callable[[bytes], bool]
) -> Sequence[tuple[Any, ...]]:
    """The oldest rows of new streams, whose ids come first, without those that are kept."""
    new = [row for row in rows if not is_known(bytes(row[0]))]
    return new[: max(0, len(new) - MAX_NEW_DECISIONS)]


def _check_same(decided: object, requested: object, message: str) -> None:
    if decided is not None and decided != requested:
        raise AttestationRefused(RefusalReason.EQUIVOCATION, message)
