"""What the archive asks the tables of windows: what is certified, and which proofs are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import text

from dragon.storage.database import Database

MAX_WINDOWS: Final = 4096  # windows that are looked at together
_OLDEST_PROOF: Final = (
    "SELECT number FROM own_windows INDEXED BY own_windows_with_proof "
    "WHERE stream = :stream AND proof IS NOT NULL ORDER BY closed_ms LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class ProvenWindow:
    """A certified window whose proof may be archived."""

    number: int
    closed_ms: int
    size: int  # of its proof


class ProvenWindows:
    """Queries that never read the large columns of windows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def certified_chunks(self, stream: bytes) -> int:
        """All chunks before this one are in certified windows."""
        open_ = text(
            "SELECT first FROM own_windows INDEXED BY own_windows_by_state WHERE stream = :stream "
            "AND state IN ('closed', 'proven', 'invalid') ORDER BY number LIMIT 1"
        )
        last = text(
            "SELECT first + count FROM own_windows WHERE stream = :stream "
            "ORDER BY number DESC LIMIT 1"
        )
        with self._database.read() as connection:
            found = connection.execute(open_, {"stream": stream}).scalar()
            if found is None:
                found = connection.execute(last, {"stream": stream}).scalar()
        return int(found or 0)

    def proven_after(self, stream: bytes, number: int) -> list[ProvenWindow]:
        """Certified windows with a proof in the database and a higher number, in order."""
        query = text(
            "SELECT w.number, w.closed_ms, c.proof_bytes "  # noqa: S608
            "FROM own_windows AS w INDEXED BY own_windows_summaries "
            "LEFT JOIN own_window_checks AS c ON c.stream = w.stream AND c.number = w.number "
            "WHERE w.stream = :stream AND w.number > :number "
            f"AND w.number >= ({_OLDEST_PROOF}) AND w.state = 'certified' "
            "ORDER BY w.number LIMIT :limit"
        )
        values = {"stream": stream, "number": number, "limit": MAX_WINDOWS}
        with self._database.read() as connection:
            rows = connection.execute(query, values).all()
        return [ProvenWindow(number, closed_ms, size or 0) for number, closed_ms, size in rows]

    def proof_bytes_after(self, stream: bytes, number: int) -> int:
        """Bytes of the proofs of windows with a higher number, at most.

        The size of a proof stays known after its deletion, so only those count that are not older
        than the oldest proof in the database.
        """
        query = text(
            "SELECT SUM(proof_bytes) FROM own_window_checks "  # noqa: S608
            f"WHERE stream = :stream AND number > :number AND number >= ({_OLDEST_PROOF})"
        )
        with self._database.read() as connection:
            found = connection.execute(query, {"stream": stream, "number": number}).scalar()
        return int(found or 0)
