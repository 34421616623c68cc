"""The votes on decided windows, which aggregators remember only for a while. Uncertified.

The log says who signed a certificate. Only the votes say who refused, why, and who was silent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text

from dragon.encoding import from_hex
from dragon.log.store import Log
from dragon.protocol.merkle import HASH_BYTES
from dragon.storage.database import Database
from dragon_explorer.history.damage import NotedDamage
from dragon_explorer.live import answers
from dragon_explorer.live.board import AggregatorReport, Report

MAX_VOTED_WINDOWS: Final = 4096  # decided windows with votes in the history, by aggregator
MAX_DETAIL_CHARS: Final = 120  # of one vote, so that a window has at most 20 kB
_VOTES: Final = TypeAdapter(tuple[answers.Vote, ...])


@dataclass(frozen=True, slots=True)
class VotedWindow:
    """What one aggregator says of one proof of a window, after the verdict."""

    stream: str
    number: int
    proof: str  # SHA-256
    aggregator: str
    chunks: int | None
    proof_bytes: int | None
    security_bits: int | None
    votes: str  # JSON

    def decoded(self) -> tuple[answers.Vote, ...]:
        """Return the votes; none if the row is damaged, or of another release."""
        try:
            return _VOTES.validate_json(self.votes)
        except ValidationError:
            return ()


class WindowVotes:
    """The table of votes. Any thread may use it.

    Beyond the maximum, the stream with the most rows loses its oldest ones.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._damage = NotedDamage()
        self.version = 0  # grows when something is written

    @property
    def fault(self) -> str:
        """Why the file cannot be read; empty if no damage was met."""
        return self._damage.reason

    def keep(self, windows: Sequence[VotedWindow]) -> None:
        """Keep what aggregators say; a row replaces that of the same proof. Raises DiskError."""
        if not windows:
            return
        names = [each.name for each in fields(VotedWindow)]
        changed = [
            name for name in names if name not in ("stream", "number", "proof", "aggregator")
        ]
        insert = (
            f"INSERT INTO window_votes ({', '.join(names)}) "  # noqa: S608
            f"VALUES ({', '.join(f':{name}' for name in names)}) "
            "ON CONFLICT (stream, number, proof, aggregator) DO UPDATE SET "
            + ", ".join(f"{name} = excluded.{name}" for name in changed)
        )
        # The oldest rows of the largest stream are those with the most newer ones of their stream.
        prune = (
            "DELETE FROM window_votes WHERE id IN (SELECT id FROM (SELECT id, ROW_NUMBER() OVER "
            "(PARTITION BY stream ORDER BY id DESC) AS age FROM window_votes) "
            "ORDER BY age DESC, id "
            "LIMIT MAX(0, (SELECT COUNT(*) FROM window_votes) - :kept))"
        )
        with self._damage.noting(), self._database.write() as connection:
            connection.execute(text(insert), [asdict(each) for each in windows])
            connection.execute(text(prune), {"kept": MAX_VOTED_WINDOWS})
        self.version += 1

    def of(self, stream: str, number: int) -> list[VotedWindow]:
        """Return what is known of one window: each proof, by aggregator."""
        return self._read("number = :number", stream, number=number)

    def between(self, stream: str, first: int, end: int) -> list[VotedWindow]:
        """Return what is known of the windows in [first, end)."""
        return self._read("number >= :first AND number < :end", stream, first=first, end=end)

    def _read(self, where: str, stream: str, **values: int) -> list[VotedWindow]:
        names = ", ".join(each.name for each in fields(VotedWindow))
        query = text(
            f"SELECT {names} FROM window_votes WHERE stream = :stream AND {where} "  # noqa: S608
            "ORDER BY number, proof, aggregator"
        )
        found: list[VotedWindow] = []
        with self._damage.noting(), self._database.read() as connection:
            rows = connection.execute(query, {"stream": stream, **values})
            found += (VotedWindow(*row) for row in rows)
        return found


class VoteRecorder:
    """Keeps the votes on the windows that the log of this explorer has decided."""

    def __init__(self, kept: WindowVotes, log: Log) -> None:
        self._kept = kept
        self._log = log
        self._last: dict[str, Mapping[VotedWindow, None]] = {}  # by aggregator

    def record(self, report: Report) -> None:
        """Keep what a report has that the last one had not. Raises DiskError."""
        if not isinstance(report, AggregatorReport):
            return
        found = {
            self._row(report.name, each): None
            for each in report.decided.value or ()
            if self._is_decided(each)
        }
        last = self._last.get(report.name, {})
        self._kept.keep([each for each in found if each not in last])
        self._last[report.name] = found

    def _is_decided(self, window: answers.SubmittedWindow) -> bool:
        """Whether our log has a verdict, so that an aggregator can invent no windows."""
        if window.proof is None:
            return False
        known = self._log.state.stream(from_hex(window.stream, member="stream", size=HASH_BYTES))
        proof = from_hex(window.proof, member="proof", size=HASH_BYTES)
        return window.number < known.windows or (window.number, proof) in known.refuted

    def _row(self, aggregator: str, window: answers.SubmittedWindow) -> VotedWindow:
        listed = self._log.state.known.ids  # votes may be those of a committee that has handed over
        votes = {
            each.operator: each.model_copy(update={"detail": each.detail[:MAX_DETAIL_CHARS]})
            for each in window.votes
            if each.operator in listed
        }
        return VotedWindow(
            window.stream,
            window.number,
            window.proof or "",
            aggregator,
            window.count,
            window.proof_bytes,
            window.security_bits,
            _VOTES.dump_json(tuple(votes.values())).decode(),
        )
