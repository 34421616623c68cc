"""No read of a log costs more because the log is longer. SQLite's own steps are counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy import event as events

from dragon.log import block_table
from dragon.log.index_tables import StreamRecords
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.storage.database import Database
from unit.log.test_index_tables import STREAM
from unit.log.test_snapshot import COMMITTEE, NODES, Step, Writer, shrink

SHORT, LONG = 100, 3200  # entries
# A binary search takes 5 steps more in a log 32 times as long: of a dozen blocks, or of entries.
MOST_TIMES = 2.5


class Steps:
    """Counts the steps of SQLite's virtual machine, in all connections."""

    def __init__(self) -> None:
        self.count = 0

    def connected(self, connection: sqlite3.Connection, _record: Any) -> None:
        def step() -> int:
            self.count += 1
            return 0

        connection.set_progress_handler(step, 1)

    def of(self, work: Callable[[], object]) -> int:
        before = self.count
        work()
        return self.count - before


@pytest.fixture(scope="module")
def steps() -> Iterator[Steps]:
    counted = Steps()
    events.listen(Engine, "connect", counted.connected)
    yield counted
    events.remove(Engine, "connect", counted.connected)


def history(entries: int) -> Iterator[Step]:
    """Yield steps of which most are checkpoints, as in a log of years."""
    kinds = ["status", "window", "maintenance", "endorsement"]
    for number in range(entries):
        kind = kinds[number // 4 % 4] if number % 4 == 0 else "checkpoint"
        yield kind, 7 * number, 1 + 2 * (number // 16)


@contextmanager
def written(path: Path, entries: int) -> Iterator[tuple[Log, StreamRecords]]:
    writer = Writer(path)
    writer.write(history(entries))
    writer.database.close()
    Log(Database(path, LOG_SCHEMA), COMMITTEE, snapshot_entries=50)
    database = Database(path, LOG_SCHEMA)
    yield Log(database, COMMITTEE), StreamRecords(database)
    database.close()


@pytest.fixture(scope="module")
def logs(
    tmp_path_factory: pytest.TempPathFactory, steps: Steps
) -> Iterator[list[tuple[Log, StreamRecords]]]:
    folder = tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        patch.setattr(block_table, "MAX_CACHED", 0)  # so that each read of a block is counted
        with written(folder / "short.db", SHORT) as one, written(folder / "long.db", LONG) as other:
            yield [one, other]


READS: dict[str, Callable[[Log, StreamRecords], object]] = {
    "a former head": lambda log, _: log.head(log.state.size // 2),
    "a proof": lambda log, _: log.proven(log.state.size // 2),
    "a former proof": lambda log, _: log.inclusion(3, log.state.size // 2),
    "the anchor of an entry": lambda log, _: log.anchored(log.state.size // 2),
    "the settling mark": lambda log, _: log.state.settling(log.state.marks[9].timestamp),
    "the first checkpoint": lambda log, _: log.state.first_checkpoint(log.state.log_time - 99),
    "downtime": lambda log, _: log.totals(
        log.state.size, NODES[0], (log.state.marks[0].timestamp, log.state.log_time)
    ),
    "nodes of a period": lambda log, _: log.listed_nodes(log.state.size, (0, log.state.log_time)),
    "an entry": lambda log, _: log.entry(log.state.size // 2),
    "a page of entries": lambda log, _: log.entries_page(log.state.size // 2, 10, 1 << 20),
    "rows of all nodes": lambda log, _: log.rows(None, 0, 3),
    "rows of a node": lambda log, _: log.rows(NODES[0], 0, 3),
    "announcements": lambda log, _: log.announcements(None, -1, 3),
    "announcements of a node": lambda log, _: log.announcements(NODES[0], -1, 3),
    "refused events": lambda log, _: (log.refused(3), log.refused_before(99, 3), log.refusals()),
    "a ledger position": lambda log, _: log.position_before(log.state.size // 2),
    "committees": lambda log, _: (log.committees(), log.lineage_page(-1, 9, 1 << 20)),
    "streams": lambda _, records: records.streams(),
    "windows": lambda _, records: records.windows(STREAM, 2, limit=3),
    "verdicts": lambda _, records: records.verdicts(STREAM, 2, limit=3),
    "statements": lambda _, records: records.statements(STREAM),
    "windows without a claim": lambda _, records: records.unclaimed(STREAM, 3),
    "endorsements": lambda _, records: records.endorsements(STREAM, limit=3),
}


@pytest.mark.parametrize("read", READS)
def test_a_read_takes_no_more_steps_in_a_longer_log(
    logs: list[tuple[Log, StreamRecords]], steps: Steps, read: str
) -> None:
    for each in logs:  # connections are made once
        READS[read](*each)

    short, long = (steps.of(lambda each=each: READS[read](*each)) for each in logs)  # type: ignore[misc]

    assert long <= MOST_TIMES * short + 20


def test_a_scan_is_noticed(logs: list[tuple[Log, StreamRecords]], steps: Steps) -> None:
    short, long = (
        steps.of(lambda each=each: each[0].entries_page(-1, 9999, 1 << 30)) for each in logs
    )  # type: ignore[misc]

    assert long > MOST_TIMES * short + 20
