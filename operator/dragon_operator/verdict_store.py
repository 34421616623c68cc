"""Verdicts of this operator on windows, kept until the log has a valid window of that number."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from dragon.protocol.claims.window import InvalidReason, Statement, WindowClaim
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.statements import statement_of
from dragon.protocol.streams.submission import Submission
from dragon.storage.database import Database

_COLUMNS: Final = "stream, number, header, proof, previous, parameters, statement, reason, detail"
SCHEMA: Final = "dragon_operator:migrations"  # verdicts, and which journal belongs to the file


@dataclass(frozen=True, slots=True)
class WindowVerdict:
    """The verdict on one window with one proof."""

    stream: bytes
    number: int
    header: bytes
    proof: bytes
    previous: bytes
    parameters: str
    statement: Statement | None  # what was verified of a window in a stream with readings
    finding: Finding

    @classmethod
    def of(cls, submission: Submission, proof: bytes, finding: Finding) -> Self:
        header = submission.header
        return cls(
            header.stream,
            header.number,
            header.hash,
            proof,
            header.previous,
            submission.descriptor.parameters,
            statement_of(submission.descriptor, header),
            finding,
        )

    @property
    def summary(self) -> str:
        """The verdict, its reason and the statement, for messages."""
        statement = f", statement {self.statement}" if self.statement else ""
        return f"{self.finding.verdict} ({self.finding.reason}{statement})"

    def claim(self, timestamp: int) -> WindowClaim:
        """Return the claim that states this verdict in the round from `timestamp`, Unix seconds."""
        return WindowClaim(
            stream=self.stream,
            number=self.number,
            previous=self.previous,
            header=self.header,
            verdict=self.finding.verdict,
            reason=self.finding.reason,
            proof=self.proof,
            parameters=self.parameters,
            timestamp=timestamp,
            statement=self.statement,
        )

    def is_claimed(self, claim: WindowClaim) -> bool:
        """Whether the claim states exactly this verdict, in any round."""
        return claim == self.claim(claim.timestamp)


class VerdictStore:
    """The table of verdicts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recall(
        self, stream: bytes, number: int, header: bytes, proof: bytes
    ) -> WindowVerdict | None:
        """Return the verdict on a window and the proof with that SHA-256, or None."""
        query = (
            f"SELECT {_COLUMNS} FROM verdicts WHERE stream = :stream AND number = :number "  # noqa: S608
            "AND header = :header AND proof = :proof"
        )
        values = {"stream": stream, "number": number, "header": header, "proof": proof}
        rows = self._database.query(query, values)
        return _decode(rows[0]) if rows else None

    def valid(self, stream: bytes, header: bytes) -> WindowVerdict | None:
        """Return the verdict on the window with that header if it is valid and still stored."""
        query = (
            f"SELECT {_COLUMNS} FROM verdicts WHERE stream = :stream AND header = :header "  # noqa: S608
            "AND reason = 'none' LIMIT 1"
        )
        rows = self._database.query(query, {"stream": stream, "header": header})
        return _decode(rows[0]) if rows else None

    def count(self, stream: bytes) -> int:
        """Number of stored verdicts on windows of a stream."""
        query = "SELECT COUNT(*) FROM verdicts WHERE stream = :stream"
        return int(self._database.value(query, {"stream": stream}))

    def keep(self, verdict: WindowVerdict) -> None:
        """Store a verdict. An earlier one on the same window and proof stays unchanged."""
        query = (
            "INSERT OR IGNORE INTO verdicts (stream, number, header, proof, previous, parameters, "
            "statement, reason, detail) VALUES (:stream, :number, :header, :proof, :previous, "
            ":parameters, :statement, :reason, :detail)"
        )
        names = ("stream", "number", "header", "proof", "previous", "parameters")
        row = {name: getattr(verdict, name) for name in names}
        row["statement"] = verdict.statement and str(verdict.statement)
        row |= {"reason": str(verdict.finding.reason), "detail": verdict.finding.detail}
        with self._database.transaction() as cursor:
            cursor.execute(query, row)

    def streams(self) -> list[bytes]:
        """Streams with stored verdicts."""
        rows = self._database.query("SELECT DISTINCT stream FROM verdicts", {})
        return [bytes(stream) for (stream,) in rows]

    def forget(self, stream: bytes, windows: int) -> None:
        """Delete verdicts on the first `windows` windows of a stream, which are in the log."""
        query = "DELETE FROM verdicts WHERE stream = :stream AND number < :windows"
        with self._database.transaction() as cursor:
            cursor.execute(query, {"stream": stream, "windows": windows})

    def bound(self, streams: Collection[bytes], most: int) -> None:
        """Delete verdicts of all `streams` if they have more than `most` together.

        A window that is not certified yet is then verified again.
        """
        total = self._database.value("SELECT COUNT(*) FROM verdicts", {})
        if total <= most or sum(map(self.count, streams)) <= most:
            return
        query = "DELETE FROM verdicts WHERE stream = :stream"
        with self._database.transaction() as cursor:
            cursor.executemany(query, [{"stream": stream} for stream in streams])


def _decode(row: Sequence[Any]) -> WindowVerdict:
    """Decode a row with the columns of `_COLUMNS`."""
    stream, number, header, proof, previous, parameters, statement, reason, detail = row
    return WindowVerdict(
        bytes(stream),
        number,
        bytes(header),
        bytes(proof),
        bytes(previous),
        parameters,
        None if statement is None else Statement(statement),
        Finding(InvalidReason(reason), detail),
    )
