"""The explorer's own history in SQLite: response times and answers, which nobody certifies.

Sums are collected in memory and written once a minute, in one transaction. A crash loses one
minute. The size is bounded: a bounded number of series, and a fixed period for each span of time.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import Connection, text

from dragon.storage.database import Database
from dragon_explorer.history.spans import MINUTE, SPANS, Block, Points, Span, Sums

RESPONSE: Final = "response"  # subject: node; source: observer; sums: milliseconds of probes
ANSWER: Final = "answer"  # subject: operator; source: outcome; sums: number of answers
MAX_SERIES: Final = 2000  # pairs of subject and source of one kind
MAX_GATHERINGS: Final = 4096
PRUNE_SECONDS: Final = 600  # between two deletions of what is too old


@dataclass(frozen=True, slots=True)
class Gathering:
    """How the operators answered an aggregator's question about a node's status."""

    node_id: str
    status: str
    timestamp: int  # Unix seconds, of the claim
    aggregator: str
    answers: str  # JSON


@dataclass(frozen=True, slots=True)
class Key:
    """One series of sums."""

    kind: str
    subject: str
    source: str


class History:
    """Sums over time. Any thread may use it; times come from the caller, in Unix seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._waiting: dict[tuple[Key, int], Sums] = defaultdict(Sums)  # by series and minute
        self._pruned_at: int | None = None
        self.version = 0  # grows when something is written
        self._series = self._read_series()

    def _read_series(self) -> set[Key]:
        query = text("SELECT DISTINCT kind, subject, source FROM blocks")
        with self._database.read() as connection:
            return {Key(*row) for row in connection.execute(query)}

    def add(self, key: Key, time: int, sums: Sums) -> None:
        """Add sums to the minute of `time`. A series beyond `MAX_SERIES` of its kind is ignored."""
        with self._lock:
            if key not in self._series:
                if sum(each.kind == key.kind for each in self._series) >= MAX_SERIES:
                    return
                self._series.add(key)
            minute = MINUTE.begin_of(time)
            self._waiting[key, minute] = self._waiting[key, minute].plus(sums)

    def flush(self, now: int) -> None:
        """Write what was added, and now and then delete what is too old."""
        with self._lock:
            waiting, self._waiting = self._waiting, defaultdict(Sums)
        prunes = self._pruned_at is None or now - self._pruned_at >= PRUNE_SECONDS
        if not waiting and not prunes:
            return
        try:
            with self._database.write() as connection:
                for span in SPANS:
                    _write(connection, span, waiting)
                if prunes:
                    _prune(connection, now)
        except Exception:
            self._take_back(waiting)
            raise
        if prunes:
            self._pruned_at, self._series = now, self._read_series()
        self.version += 1

    def _take_back(self, waiting: Mapping[tuple[Key, int], Sums]) -> None:
        """Keep what could not be written, unless newer sums are waiting already."""
        with self._lock:
            for key, sums in waiting.items():
                if len(self._waiting) < 2 * MAX_SERIES:
                    self._waiting[key] = self._waiting[key].plus(sums)

    def points(
        self, kind: str, subject: str, span: Span, *, first: int, step: int, count: int
    ) -> dict[str, Points]:
        """Return the sums of a subject over `count` steps, by source.

        Args: `first`, the begin of the first step (Unix seconds); `step`, in seconds.
        """
        query = text(
            "SELECT source, begin, sums FROM blocks WHERE kind = :kind AND span = :span "
            "AND subject = :subject AND begin >= :first AND begin < :end ORDER BY source, begin"
        )
        values = {
            "kind": kind,
            "span": span.seconds,
            "subject": subject,
            "first": span.block_of(first),
            "end": first + step * count,
        }
        with self._database.read() as connection:
            rows = connection.execute(query, values).all()
        found: dict[str, Points] = {}
        for source, begin, packed in rows:
            points = found.setdefault(source, Points(first, step, count))
            Block(span, begin, packed).add_to(points)
        return {source: points for source, points in found.items() if any(points.numbers)}

    def totals(self, kind: str, span: Span, begin: int, end: int) -> dict[str, dict[str, Sums]]:
        """Return the sums over [begin, end) by subject and source."""
        query = text(
            "SELECT subject, source, begin, sums FROM blocks WHERE kind = :kind AND span = :span "
            "AND begin >= :first AND begin < :end"
        )
        values = {
            "kind": kind,
            "span": span.seconds,
            "first": span.block_of(begin),
            "end": end,
        }
        with self._database.read() as connection:
            rows = connection.execute(query, values).all()
        found: dict[str, dict[str, Sums]] = defaultdict(lambda: defaultdict(Sums))
        for subject, source, block, packed in rows:
            for time, sums in Block(span, block, packed).sums():
                if begin <= time < end:
                    found[subject][source] = found[subject][source].plus(sums)
        return {subject: dict(sources) for subject, sources in found.items()}

    def keep_gatherings(self, gatherings: Sequence[Gathering]) -> None:
        """Keep how the operators answered; a record replaces that of the same question."""
        if not gatherings:
            return
        with self._database.write() as connection:
            connection.execute(
                text(
                    "INSERT INTO gatherings (node_id, status, timestamp, aggregator, answers) "
                    "VALUES (:node_id, :status, :timestamp, :aggregator, :answers) ON CONFLICT "
                    "(node_id, status, timestamp, aggregator) "
                    "DO UPDATE SET answers = excluded.answers"
                ),
                [asdict(each) for each in gatherings],
            )
            connection.execute(
                text("DELETE FROM gatherings WHERE id <= (SELECT MAX(id) FROM gatherings) - :kept"),
                {"kept": MAX_GATHERINGS},
            )
        self.version += 1

    def gatherings(self, node_id: str, status: str, timestamp: int) -> list[Gathering]:
        """Return how the operators answered about this change of status, by aggregator."""
        query = text(
            "SELECT node_id, status, timestamp, aggregator, answers FROM gatherings "
            "WHERE node_id = :node_id AND status = :status AND timestamp = :timestamp "
            "ORDER BY aggregator"
        )
        values = {"node_id": node_id, "status": status, "timestamp": timestamp}
        with self._database.read() as connection:
            return [Gathering(*row) for row in connection.execute(query, values)]


def _write(connection: Connection, span: Span, waiting: Mapping[tuple[Key, int], Sums]) -> None:
    """Add sums to the rows of one span."""
    blocks: dict[tuple[Key, int], Block] = {}
    for (key, time), sums in waiting.items():
        begin = span.block_of(time)
        if (key, begin) not in blocks:
            blocks[key, begin] = Block(span, begin, _stored(connection, key, span, begin))
        blocks[key, begin].add(time, sums)
    rows = [
        {**_row(key, span, begin), "sums": block.packed()} for (key, begin), block in blocks.items()
    ]
    if rows:
        connection.execute(
            text(
                "INSERT INTO blocks (kind, subject, source, span, begin, sums) "
                "VALUES (:kind, :subject, :source, :span, :begin, :sums) ON CONFLICT "
                "(kind, span, subject, source, begin) DO UPDATE SET sums = excluded.sums"
            ),
            rows,
        )


def _stored(connection: Connection, key: Key, span: Span, begin: int) -> object:
    query = text(
        "SELECT sums FROM blocks WHERE kind = :kind AND span = :span AND subject = :subject "
        "AND source = :source AND begin = :begin"
    )
    row = connection.execute(query, _row(key, span, begin)).first()
    return row[0] if row else None


def _row(key: Key, span: Span, begin: int) -> dict[str, str | int]:
    return {
        "kind": key.kind,
        "subject": key.subject,
        "source": key.source,
        "span": span.seconds,
        "begin": begin,
    }


def _prune(connection: Connection, now: int) -> None:
    for span in SPANS:
        oldest = span.block_of(max(0, now - span.kept_seconds))
        connection.execute(
            text("DELETE FROM blocks WHERE span = :span AND begin < :oldest"),
            {"span": span.seconds, "oldest": oldest},
        )
