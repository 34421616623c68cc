"""What this operator has found windows to be: verified once, remembered until they are settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Row, text

from dragon.protocol.claims.window import InvalidReason, Verdict, WindowClaim
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.submission import Submission
from dragon.storage.database import Database


@dataclass(frozen=True, slots=True)
class WindowVerdict:
    """A verdict on one window and one proof for it."""

    stream: bytes
    number: int
    header: bytes
    proof: bytes
    previous: bytes
    parameters: str
    reason: InvalidReason
    detail: str

    @property
    def verdict(self) -> Verdict:
        return Verdict.VALID if self.reason is InvalidReason.NONE else Verdict.INVALID

    @classmethod
    def of(cls, submission: Submission, proof: bytes, judgement: Finding) -> Self:
        header = submission.header
        return cls(
            header.stream,
            header.number,
            header.hash,
            proof,
            header.previous,
            submission.descriptor.parameters,
            judgement.fault,
            judgement.detail,
        )

    def is_claimed(self, claim: WindowClaim) -> bool:
        """Whether the claim says exactly this, in whichever round."""
        return (
            (claim.stream, claim.number, claim.header, claim.proof)
            == (self.stream, self.number, self.header, self.proof)
            and (claim.previous, claim.parameters) == (self.previous, self.parameters)
            and (claim.verdict, claim.reason) == (self.verdict, self.reason)
        )


class VerdictStore:
    """The table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recall(
        self, stream: bytes, number: int, header: bytes, proof: bytes
    ) -> WindowVerdict | None:
        query = text(
            "SELECT * FROM verdicts WHERE stream = :stream AND number = :number "
            "AND header = :header AND proof = :proof"
        )
        values = {"stream": stream, "number": number, "header": header, "proof": proof}
        with self._database.read() as connection:
            row = connection.execute(query, values).first()
        return _found(row) if row else None

    def valid(self, stream: bytes, header: bytes) -> WindowVerdict | None:
        """The window with that header, if it was found valid and is not settled yet."""
        query = text(
            "SELECT * FROM verdicts WHERE stream = :stream AND header = :header "
            "AND reason = 'none' LIMIT 1"
        )
        with self._database.read() as connection:
            row = connection.execute(query, {"stream": stream, "header": header}).first()
        return _found(row) if row else None

    def count(self, stream: bytes) -> int:
        """How many there are on windows of that stream."""
        query = text("SELECT COUNT(*) FROM verdicts WHERE stream = :stream")
        with self._database.read() as connection:
            return int(connection.execute(query, {"stream": stream}).scalar_one())

    def keep(self, found: WindowVerdict) -> None:
        query = text(
            "INSERT OR IGNORE INTO verdicts VALUES (:stream, :number, :header, :proof, "
            ":previous, :parameters, :reason, :detail)"
        )
        row = {name: getattr(found, name) for name in WindowVerdict.__slots__}
        with self._database.write() as connection:
            connection.execute(query, {**row, "reason": str(found.reason)})

    def streams(self) -> list[bytes]:
        """Those that have verdicts here."""
        with self._database.read() as connection:
            found = connection.execute(text("SELECT DISTINCT stream FROM verdicts")).all()
        return [bytes(row.stream) for row in found]

    def settle(self, stream: bytes, windows: int) -> None:
        """The log has so many windows of the stream: what was found of them is history."""
        query = text("DELETE FROM verdicts WHERE stream = :stream AND number < :windows")
        with self._database.write() as connection:
            connection.execute(query, {"stream": stream, "windows": windows})


def _found(row: Row[tuple[object, ...]]) -> WindowVerdict:
    return WindowVerdict(
        bytes(row.stream),
        row.number,
        bytes(row.header),
        bytes(row.proof),
        bytes(row.previous),
        row.parameters,
        InvalidReason(row.reason),
        row.detail,
    )
