"""The start of a service with the log of a year: 525,600 entries, a checkpoint a minute.

Each start is a process of its own that opens the log and reads its head. From all entries: the
snapshot is deleted before, so the start does what every start did before there were snapshots,
and also stores the snapshot. From the snapshot: what each later start does. Idle: the same imports
without a log. Then reads of the long log are compared with those of a log of a day.

Goal: at most 2 s and 150 MB from the snapshot, and no read that takes longer for the long log.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import long_log
from dragon.log.index_tables import StreamRecords
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol.committee import Committee
from dragon.storage.database import Database
from fixtures import make_members
from timing import medians, ms, show, verdict

GOAL_SECONDS: Final = 2.0
GOAL_MB: Final = 150.0
GOAL_RATIO: Final = 2.0  # of a read of the long log to one of the short log
GOAL_READ_SECONDS: Final = 0.010
DAYS: Final = 365
NODE: Final = "target_3"
TURNS: Final = 2  # of starts from all entries and from the snapshot
REPETITIONS: Final = 9  # of a read

START: Final = """
import json, resource, sys, time
from pathlib import Path
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.node import app
from dragon.protocol.committee import Committee
from dragon.encoding import parse
from dragon.storage.database import Database

path, committee = Path(sys.argv[1]), Committee.from_json(parse(Path(sys.argv[2]).read_bytes()))
processor, begun, size = time.process_time(), time.monotonic(), 0
if sys.argv[3] == "log":
    log = Log(Database(path, LOG_SCHEMA), committee)
    size = log.head().size
took = time.monotonic() - begun
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([size, took, time.process_time() - processor, memory]))
"""


@dataclass(frozen=True)
class Start:
    """What a start took."""

    size: int  # entries of the log
    seconds: float
    processor_seconds: float
    peak_mb: float

    @classmethod
    def measure(cls, path: Path, committee: Path, what: str = "log") -> Start:
        """Start a process that opens the log."""
        command = [sys.executable, "-c", START, str(path), str(committee), what]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        return cls(*json.loads(answer.stdout))

    def row(self, name: str, goal: str = "") -> tuple[object, ...]:
        times = (f"{self.seconds:.2f}", f"{self.processor_seconds:.2f}", f"{self.peak_mb:.0f}")
        return (name, *times, goal)


def starts(path: Path, committee: Path, turns: int) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the first table, those of a log `turns` times."""
    yield Start.measure(path, committee, "idle").row("imports only")
    for _ in range(turns):
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("DELETE FROM snapshot")
            file.execute("DELETE FROM blocks")
        yield Start.measure(path, committee).row("from all entries")
        found = Start.measure(path, committee)
        reached = found.seconds <= GOAL_SECONDS and found.peak_mb <= GOAL_MB
        yield found.row("from the snapshot", verdict(reached))


def reads(database: Database, committee: Committee) -> dict[str, Callable[[], object]]:
    """Return reads of a log by name, as the routes of the services do them."""
    log, records = Log(database, committee), StreamRecords(database)
    size, genesis = log.head().size, committee.rounds.genesis
    middle, last = size // 2, log.state.log_time
    hour = (last - 7200, last - 3600)
    return {
        "head at a former size": lambda: log.head(middle),
        "an entry with its proof": lambda: log.proven(middle),
        "a proof at a former size": lambda: log.inclusion(middle // 2, middle + 1),
        "an entry with its anchor": lambda: log.anchored(middle),
        "the mark that settles a time": lambda: log.state.settling((genesis + last) // 2),
        "downtime of an hour": lambda: log.totals(size, NODE, hour),
        "downtime of the whole time": lambda: log.totals(size, NODE, (genesis, last)),
        "nodes of a period": lambda: log.listed_nodes(size, (genesis, last)),
        "a page of entries": lambda: log.entries_page(middle, 100, 1 << 20),
        "status rows of a node": lambda: log.rows(NODE, 0, 100),
        "announced maintenance": lambda: log.announcements(NODE),
        "refused events": lambda: (log.refused(100), log.refusals()),
        "a ledger position": lambda: log.position_before(middle),
        "streams": records.streams,
    }


def compared(
    paths: tuple[Path, Path], committee: Committee, repetitions: int
) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the second table: the long log, and the short one."""
    databases = [Database(path, LOG_SCHEMA) for path in paths]
    long, short = (reads(each, committee) for each in databases)
    for name, work in long.items():
        times = medians(work, short[name], repetitions=repetitions)
        ratio = times[0] / times[1]
        reached = ratio <= GOAL_RATIO or times[0] <= GOAL_READ_SECONDS
        yield (name, ms(times[1]), ms(times[0]), f"{ratio:.1f}", verdict(reached))
    for database in databases:
        database.close()


def main(*, days: int = DAYS, turns: int = TURNS, repetitions: int = REPETITIONS) -> None:
    members: Any = make_members(4, targets=20)
    with tempfile.TemporaryDirectory() as folder:
        path, short = Path(folder) / "operator.db", Path(folder) / "short.db"
        document = Path(folder) / "committee.json"
        document.write_bytes(members.committee.encode())
        size = long_log.fill(path, members, days)
        long_log.fill(short, members, 1)
        columns = ("start", "seconds", "processor (s)", "peak memory (MB)", "goal")
        note = f"{size} entries, {path.stat().st_size / 1e6:.0f} MB."
        show(
            f"Starts with the log of {days} days",
            columns,
            list(starts(path, document, turns)),
            note,
        )
        rows = list(compared((path, short), members.committee, repetitions))
    columns = ("read", "log of a day (ms)", "long log (ms)", "ratio", "goal")
    show(f"Reads of a log of {days} days", columns, rows, "Medians, processor time.")


if __name__ == "__main__":
    main(**({"days": int(sys.argv[1])} if sys.argv[1:] else {}))
