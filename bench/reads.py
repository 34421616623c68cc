"""The processor time of expensive reads of a long log: what a stranger's request may cost.

A log of 122 days with rounds of 5 s: a checkpoint a minute and 60 status events a day. Before: the
work as it was done without an index, re-enacted on the same log. After: the same through the code
of the services, for routes with the whole HTTP app.

Goal: each read below 10 ms, whatever the length of the log.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlalchemy import text

import long_log
from dragon.encoding import canonical
from dragon.log.downtime import settled_claim
from dragon.log.index_tables import StreamRecords
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.node import app as web
from dragon.node.routes import log as log_routes
from dragon.node.routes import streams as stream_routes
from dragon.protocol.claims.status import Status
from dragon.storage.database import Database
from dragon_operator.routes import events, nodes
from fixtures import make_members
from timing import medians, ms, show, verdict

GOAL_SECONDS = 0.010
DAYS = 122
NODE = "target_3"
REPETITIONS = 9


class Before:
    """The reads without index and without early end."""

    def __init__(self, log: Log, database: Database) -> None:
        self._log, self._database = log, database

    def page(self, after: int, limit: int) -> str:
        """Decode 1,001 entries, and encode those that fit into a page twice."""
        shown: list[Any] = []
        left = events.MAX_PAGE_BYTES
        for entry in self._log.entries(after, limit + 1):
            shown.append({**entry.to_json(), "ledger_time": entry.ledger_time})
            left -= len(canonical(shown[-1]))
            if left < 0:
                break
        return json.dumps(shown, sort_keys=True)

    def totals(self, begin: int, end: int) -> tuple[int, int]:
        """Go through all checkpoints and all transitions of the node."""
        state, most = self._log.state, 24 * 5
        marks = [each.timestamp for each in state.marks]
        moves = list(state.nodes[NODE])
        gaps = [(a, b) for a, b in pairwise(marks) if b - a > most]
        unknown = [(begin, marks[0]), *gaps, (marks[-1], end)]
        down = [
            (move.timestamp, moves[at + 1].timestamp if at + 1 < len(moves) else end)
            for at, move in enumerate(moves)
            if move.status is Status.DOWN
        ]
        hidden = sum(_overlap(one, other) for one in down for other in unknown)
        return sum(_overlap(one, (begin, end)) for one in down) - hidden, hidden

    def rows(self) -> list[Any]:
        """Scan the whole table for the rows of one node."""
        query = text(
            "SELECT * FROM logs WHERE id > 0 AND (:node IS NULL OR node_id = :node) "
            "ORDER BY id LIMIT 1001"
        )
        with self._database.read() as connection:
            return list(connection.execute(query, {"node": NODE}))


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


def reads(
    log: Log, database: Database, get: Callable[[str], object], committee: Any
) -> Iterator[tuple[str, Callable[[], object] | None, Callable[[], object]]]:
    """Yield each read with its name: before, if it was another one, and after."""
    before, size = Before(log, database), log.state.size
    begin, newest = committee.rounds.genesis, log.state.checkpoint
    end = newest.timestamp - 2 * committee.rounds.settled_after if newest else 0
    middle, period = size // 2, (begin, end)
    yield (
        "GET /events?limit=1000",
        lambda: before.page(middle, 1000),
        lambda: get(f"/events?after={middle}&limit=1000"),
    )
    yield (
        "a downtime claim with wrong totals",
        lambda: before.totals(*period),
        lambda: settled_claim(log, NODE, period, end + 10_000),
    )
    yield (
        "GET /nodes/x/downtime",
        lambda: before.totals(*period),
        lambda: get(f"/nodes/{NODE}/downtime?from={begin}&to={end}"),
    )
    yield (
        "GET /logs?node_id=x&limit=1000",
        before.rows,
        lambda: get(f"/logs?node_id={NODE}&limit=1000"),
    )
    yield "GET /logs?limit=1000", None, lambda: get("/logs?limit=1000")
    yield "GET /events/n", None, lambda: get(f"/events/{middle}")
    yield "GET /events/n?size=m", None, lambda: get(f"/events/{middle}?size={size - 1}")
    yield "GET /checkpoint", None, lambda: get("/checkpoint")
    yield "GET /refused?limit=1000", None, lambda: get("/refused?limit=1000")
    yield "GET /streams?limit=1000", None, lambda: get("/streams?limit=1000")
    yield "GET /nodes", None, lambda: get("/nodes")
    yield "a ledger position", None, lambda: log.position_before(middle)


def measure(path: Path, days: int) -> Sequence[Sequence[object]]:
    """Return the rows of the table."""
    members = make_members(4, targets=20)
    committee = members.committee
    long_log.fill(path, members, days)
    database = Database(path, LOG_SCHEMA)
    log = Log(database, committee)
    components: Any = SimpleNamespace(
        committee=committee,
        log=log,
        peers=SimpleNamespace(latest=lambda _: None),
        beats=SimpleNamespace(shown=lambda _: None),
    )
    app = web.create("reads", tuple, title="reads")
    for routes in (
        events.routes(components),
        nodes.routes(components),
        log_routes.routes(log),
        stream_routes.routes(log, StreamRecords(database)),
    ):
        app.register_api(routes)
    client = app.test_client()

    def get(address: str) -> object:
        answer = client.get(address)
        if answer.status_code != 200:
            raise SystemExit(f"{address}: {answer.text}")
        return answer

    rows = []
    for name, before, after in reads(log, database, get, committee):
        works = [after] if before is None else [after, before]
        times = medians(*works, repetitions=REPETITIONS)
        reached = f"< 10 ms: {verdict(times[0] < GOAL_SECONDS)}"
        past = (ms(times[1]), f"{times[1] / times[0]:.0f}") if before else ("", "")
        rows.append((name, past[0], ms(times[0]), past[1], reached))
    database.close()
    return rows


def main(*, days: int = DAYS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder) / "operator.db", days)
    columns = ("read", "before (ms)", "after (ms)", "times as fast", "goal")
    note = "Medians, processor time. Routes include the HTTP app, before does not."
    show(f"Reads of a log of {days} days", columns, rows, note)


if __name__ == "__main__":
    main()
