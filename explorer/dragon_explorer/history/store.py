"""The explorer's own history in SQLite: response times and answers, which nobody certifies.

Sums are collected in memory. Once a minute, what is new is written in one row: a crash loses at
most a minute. When an hour is over, its sums go into the blocks of minutes, hours and days. The
size is bounded: a bounded number of series, and a fixed period for each span of time.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import Connection, text

from dragon.storage.database import Database
from dragon_explorer.history.damage import NotedDamage
from dragon_explorer.history.recent import Key, RecentBlocks, SumsByMinute, pack, unpack
from dragon_explorer.history.spans import DAY, MINUTE, SPANS, Block, Points, Span, Sums

RESPONSE: Final = "response"  # subject: node; source: observer; sums: milliseconds of probes
ANSWER: Final = "answer"  # subject: operator; source: outcome; sums: number of answers
MAX_SERIES: Final = 2000  # pairs of subject and source of one kind
MAX_GATHERINGS: Final = 4096
MAX_TOTALS: Final = 8  # sums over all series that are remembered


@dataclass(frozen=True, slots=True)
class Gathering:
    """How the operators answered an aggregator's question about a node's status."""

    node_id: str
    status: str
    timestamp: int  # Unix seconds, of the claim
    aggregator: str
    answers: str  # JSON


class History:
    """Sums over time. Any thread may use it; times come from the caller, in Unix seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._blocks_lock = threading.RLock()  # nobody reads while sums go into blocks
        self._lock = threading.Lock()  # guards the memory: everything below
        self._recent = RecentBlocks()
        self._unsaved: dict[tuple[Key, int], Sums] = defaultdict(Sums)  # by series and minute
        self._totals: dict[tuple[str, int, int], Mapping[Key, Sums]] = {}  # of blocks
        self._series: set[Key] = set()
        self._count: Counter[str] = Counter()  # of series, by kind
        self.version = 0  # grows when something is written
        self._damage = NotedDamage()
        self._load()

    @property
    def fault(self) -> str:
        """Why the file cannot be read; empty if no damage was met."""
        return self._damage.reason

    def _load(self) -> None:
        with self._database.read() as connection:
            rows = connection.execute(text("SELECT sums FROM recent ORDER BY id")).all()
        self._read_series()
        for (row,) in rows:
            for (key, minute), sums in unpack(row).items():
                if self._has_place(key):
                    self._recent.add(key, minute, sums)

    def _read_series(self) -> None:
        """Read which series there are. Each has a block of days."""
        query = text("SELECT DISTINCT kind, subject, source FROM blocks WHERE span = :span")
        with self._database.read() as connection:
            stored = {Key(*row) for row in connection.execute(query, {"span": DAY.seconds})}
        with self._lock:
            self._series = stored | self._recent.series()
            self._count = Counter(each.kind for each in self._series)

    def add(self, key: Key, time: int, sums: Sums) -> None:
        """Add sums to the minute of `time`. A series beyond `MAX_SERIES` of its kind is ignored."""
        minute = MINUTE.begin_of(time)
        with self._lock:
            if self._has_place(key):
                self._recent.add(key, minute, sums)
                self._unsaved[key, minute] = self._unsaved[key, minute].plus(sums)

    def _has_place(self, key: Key) -> bool:
        if key not in self._series:
            if self._count[key.kind] >= MAX_SERIES:
                return False
            self._series.add(key)
            self._count[key.kind] += 1
        return True

    def flush(self, now: int) -> None:
        """Write what was added; if an hour is over, put its sums into blocks. Raises DiskError."""
        with self._lock:
            is_due = self._recent.has_settled(now)
        if is_due:
            self._settle(now)
        else:
            self._save()

    def _save(self) -> None:
        with self._lock:
            unsaved, self._unsaved = self._unsaved, defaultdict(Sums)
        if not unsaved:
            return
        try:
            with self._database.write() as connection:
                _insert_recent(connection, unsaved)
        except Exception:
            self._take_back(unsaved)
            raise
        self.version += 1

    def _take_back(self, unsaved: SumsByMinute) -> None:
        """Write later what could not be written, if it is not too much."""
        with self._lock:
            for key, sums in unsaved.items():
                if len(self._unsaved) < 2 * MAX_SERIES:
                    self._unsaved[key] = self._unsaved[key].plus(sums)

    def _settle(self, now: int) -> None:
        """Put the sums of the hours that are over into blocks, and delete what is too old."""
        with self._blocks_lock:
            with self._lock:
                settled, rest = self._recent.take_settled(now), self._recent.sums()
                self._unsaved.clear()  # all of it is in one of the two
            try:
                with self._database.write() as connection:
                    for span in SPANS:
                        _write(connection, span, settled)
                    _prune(connection, now)
                    connection.execute(text("DELETE FROM recent"))
                    _insert_recent(connection, rest)
            except Exception:
                with self._lock:
                    self._recent.put_back(settled, now)
                raise
            self._totals.clear()
            self._read_series()
        self.version += 1

    def points(
        self, kind: str, subject: str, span: Span, *, first: int, step: int, count: int
    ) -> dict[str, Points]:
        """Return the sums of a subject over `count` steps, by source.

        Args: `first`, the begin of the first step (Unix seconds); `step`, in seconds.
        """
        query = text(
            # With `+`, SQLite searches by the subject instead of the age, which all subjects share.
            "SELECT source, begin, sums FROM blocks WHERE kind = :kind AND span = :span "
            "AND subject = :subject AND +begin >= :first AND +begin < :end"
        )
        values = {
            "kind": kind,
            "span": span.seconds,
            "subject": subject,
            "first": span.block_of(first),
            "end": first + step * count,
        }
        found: dict[str, Points] = defaultdict(lambda: Points(first, step, count))
        with self._blocks_lock:
            with self._damage.noting(), self._database.read() as connection:
                for source, begin, packed in connection.execute(query, values):
                    Block(span, begin, packed).add_to(found[source])
            with self._lock:
                for key, block in self._recent.blocks(kind, subject):
                    block.add_to(found[key.source])
        return {source: points for source, points in found.items() if any(points.numbers)}

    def totals(self, kind: str, span: Span, begin: int) -> dict[str, dict[str, Sums]]:
        """Return the sums since `begin` (Unix seconds) by subject and source."""
        with self._blocks_lock:
            found = defaultdict(Sums, self._stored_totals(kind, span, begin))
            with self._lock:
                for key, block in self._recent.blocks(kind):
                    found[key] = found[key].plus(block.total(begin))
        by_subject: dict[str, dict[str, Sums]] = defaultdict(dict)
        for key, sums in found.items():
            if sums.number:
                by_subject[key.subject][key.source] = sums
        return dict(by_subject)

    def _stored_totals(self, kind: str, span: Span, begin: int) -> Mapping[Key, Sums]:
        """The sums of blocks since `begin`. They change once an hour, so they are remembered."""
        asked = (kind, span.seconds, begin)
        if asked not in self._totals:
            if len(self._totals) >= MAX_TOTALS:
                self._totals.clear()
            self._totals[asked] = self._read_totals(kind, span, begin)
        return self._totals[asked]

    def _read_totals(self, kind: str, span: Span, begin: int) -> Mapping[Key, Sums]:
        query = text(
            "SELECT subject, source, begin, sums FROM blocks WHERE kind = :kind AND span = :span "
            "AND begin >= :first"
        )
        values = {"kind": kind, "span": span.seconds, "first": span.block_of(begin)}
        found: dict[Key, Sums] = defaultdict(Sums)
        with self._damage.noting(), self._database.read() as connection:
            for subject, source, block, packed in connection.execute(query, values):
                key = Key(kind, subject, source)
                found[key] = found[key].plus(Block(span, block, packed).total(begin))
        return found

    def keep_gatherings(self, gatherings: Sequence[Gathering]) -> None:
        """Keep how the operators answered; a record replaces that of the same question."""
        if not gatherings:
            return
        with self._damage.noting(), self._database.write() as connection:
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
        found: list[Gathering] = []
        with self._damage.noting(), self._database.read() as connection:
            found += (Gathering(*row) for row in connection.execute(query, values))
        return found


def _insert_recent(connection: Connection, sums: SumsByMinute) -> None:
    if sums:
        connection.execute(text("INSERT INTO recent (sums) VALUES (:sums)"), {"sums": pack(sums)})


def _write(connection: Connection, span: Span, settled: Sequence[tuple[Key, Block]]) -> None:
    """Add blocks of minutes to the rows of one span."""
    for key, block in settled:
        begin = span.block_of(block.begin)
        row = Block(span, begin, _stored(connection, key, span, begin))
        if span is MINUTE:
            row.add_all(block)
        else:  # an hour, and so a block of minutes, lies in one span
            row.add(block.begin, block.total())
        _store(connection, key, row)


def _store(connection: Connection, key: Key, block: Block) -> None:
    connection.execute(
        text(
            "INSERT INTO blocks (kind, subject, source, span, begin, sums) "
            "VALUES (:kind, :subject, :source, :span, :begin, :sums) ON CONFLICT "
            "(kind, span, subject, source, begin) DO UPDATE SET sums = excluded.sums"
        ),
        {**_row(key, block.span, block.begin), "sums": block.packed()},
    )


def _stored(connection: Connection, key: Key, span: Span, begin: int) -> object:
    query = text(
        "SELECT sums FROM blocks WHERE kind = :kind AND span = :span AND subject = :subject "
        "AND source = :source AND begin = :begin"
    )
    row = connection.execute(query, _row(key, span, begin)).first()
    return row[0] if row else None


def _row(key: Key, span: Span, begin: int) -> dict[str, str | int]:
    return {**key._asdict(), "span": span.seconds, "begin": begin}


def _prune(connection: Connection, now: int) -> None:
    for span in SPANS:
        oldest = span.block_of(max(0, now - span.kept_seconds))
        connection.execute(
            text("DELETE FROM blocks WHERE span = :span AND begin < :oldest"),
            {"span": span.seconds, "oldest": oldest},
        )
