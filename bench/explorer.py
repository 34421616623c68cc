"""The processor time and size of the explorer's pages: 200 nodes, and a log of 100,000 entries.

A log of 67 days with rounds of 5 s: a checkpoint a minute and 60 status events a day. The clock
moves between two requests, so that no page comes from the cache. "304" is the cost of a request by
a client that has the page already.

Goal: p95 of at most 150 ms of processor time, and at most 300 KB, for each page.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from werkzeug.test import TestResponse

import long_log
from dragon.encoding import to_hex
from dragon.net.http_client import HttpClient
from dragon.net.runtime import Runtime
from dragon.net.session import make_session
from dragon_explorer.app import create_app
from dragon_explorer.components import Components
from dragon_explorer.history.recent import Key
from dragon_explorer.history.spans import Sums
from dragon_explorer.history.store import ANSWER, RESPONSE
from dragon_explorer.live import answers
from dragon_explorer.live.board import AggregatorReport, OperatorReport, Part
from dragon_explorer.main import assemble, open_databases
from dragon_explorer.public_page import PublicPage
from dragon_explorer.settings import Settings
from fixtures import make_members
from timing import ms, percentile, seconds, show, verdict

GOAL_SECONDS: Final = 0.150
GOAL_BYTES: Final = 300_000
DAYS: Final = 67
TARGETS: Final = 196
ROUNDS: Final = 60  # that the aggregator's report has
PROBED_ROUNDS: Final = 30  # that an operator's report has
REPETITIONS: Final = 20
NODE: Final = "target_3"
HISTORY_MINUTES: Final = 1440


class NoLedger:
    """A ledger that has nothing new."""

    def poll(self, *_: object) -> Sequence[Any]:
        return []


class Clock:
    """Moves by a page's tick with each request."""

    def __init__(self) -> None:
        self.now = 0.0


def build(folder: Path, days: int, targets: int, clock: Clock) -> Components:
    """An explorer with a long log, reports of all services, and a history."""
    members = make_members(4, targets=targets)
    committee = members.committee
    settings = Settings(
        committee=committee,
        database=folder / "explorer.db",
        nodes_file=Path(),
        host="",
        port=0,
        threads=1,
        public=PublicPage.of_all(committee),
    )
    long_log.fill(settings.database, members, days)
    components = assembled(settings, clock)
    last = components.log.state.checkpoint
    clock.now = float(last.timestamp + 20 if last else committee.rounds.genesis)
    report(components, int(clock.now))
    fill_history(components, int(clock.now))
    return components


def assembled(settings: Settings, clock: Clock) -> Components:
    """An explorer on files that are there, without services, a ledger or threads."""
    runtime = Runtime(
        http=HttpClient(make_session()),
        wall=lambda: clock.now,
        monotonic=lambda: clock.now,
        sleep=lambda _: None,
        entropy=bytes,
        workers=lambda _: (_ for _ in ()).throw(NotImplementedError),
    )
    return assemble(settings, *open_databases(settings), NoLedger(), runtime)


def report(components: Components, now: int) -> None:
    """Put reports of all services onto the board."""
    committee, head = components.sources.committee, components.log.head()
    nodes, current = tuple(committee.urls), committee.rounds.number(now)
    rounds = tuple(
        answers.Round(
            number=current - ROUNDS + 1 + number,
            start=now - 5 * (ROUNDS - number),
            begun_late_ms=0,
            took_ms=900,
            overran=False,
            skipped=0,
            note="",
            probes=probes_of(nodes, number),
            suspicions=[
                answers.Suspicion(
                    operator=operator.id,
                    node_id=NODE,
                    status="down",
                    after_ms=2500,
                    outcome="no_change",
                    detail="",
                )
                for operator in committee.operators
            ],
            gatherings=[],
        )
        for number in range(ROUNDS)
    )
    ready = Part(answers.Readiness(status="ready", reasons=[]), float(now))
    components.sources.board.put(
        AggregatorReport("aggregator_0", "http://a", ready, Part(rounds, float(now)))
    )
    said = answers.LogHead(size=head.size, root=to_hex(head.root), ledger_index=head.size)
    seen = answers.Seen(status="up", reason="answered", at=now, latency_ms=30)
    listed = {node: answers.Node(node_id=node, status="up", since=now, seen=seen) for node in nodes}
    probed = tuple(
        answers.ProbedRound(
            number=current - PROBED_ROUNDS + 1 + number, probes=probes_of(nodes, number)
        )
        for number in range(PROBED_ROUNDS)
    )
    for operator in committee.operators:
        components.sources.board.put(
            OperatorReport(
                operator.id,
                operator.url,
                ready,
                Part(said, float(now)),
                Part(listed, float(now)),
                Part(probed, float(now)),
            )
        )


@cache
def probes_of(nodes: tuple[str, ...], number: int) -> list[answers.Probe]:
    """A probe of each node: one in 40 nodes is down, and the measured one in every other round."""
    return [
        answers.Probe(
            node_id=node,
            seen="down" if is_down else "up",
            reason="timeout" if is_down else "answered",
            latency_ms=20 + (7 * place + number) % 90,
            clock_offset_ms=None,
        )
        for place, node in enumerate(nodes)
        for is_down in [not place % 40 or (node == NODE and number % 2)]
    ]


def fill_history(components: Components, now: int) -> None:
    """Fill a day of response times of one node, and of answers of each operator."""
    history, committee = components.sources.history, components.sources.committee
    for minute in range(HISTORY_MINUTES):
        time = now - 60 * minute
        for observer in (*committee.keys, "aggregator_0"):
            history.add(Key(RESPONSE, NODE, observer), time, Sums(12, 0, 600, 90))
        for operator in committee.keys:
            history.add(Key(ANSWER, operator, "signed"), time, Sums(12))
            history.add(Key(ANSWER, operator, "busy"), time, Sums(1))
    history.flush(now)


def paths(components: Components) -> Iterator[str]:
    """Yield the pages that are measured."""
    log, middle = components.log, components.log.state.size // 2
    change = log.state.nodes[NODE][-1].position
    yield from ("/", f"/nodes/{NODE}", f"/nodes/{NODE}?period=90d", "/incidents")
    yield from (f"/incidents/{change}", "/rounds", "/committee", "/streams")
    yield from ("/log", f"/log?before={middle}", f"/log/{middle}", "/public")
    yield from (f"/badge/{NODE}.svg", "/feed.atom", "/api/fleet", f"/api/nodes/{NODE}")
    yield from ("/api/incidents", "/api/committee", "/api/log", "/api/public")


def measure(
    folder: Path, days: int, targets: int, repetitions: int
) -> tuple[int, list[Sequence[object]]]:
    """Return the size of the log, and the rows of the table."""
    clock = Clock()
    components = build(folder, days, targets, clock)
    client = create_app(components).test_client()

    def get(path: str, etag: str = "") -> TestResponse:
        answer = client.get(path, headers={"If-None-Match": etag} if etag else {})
        if answer.status_code not in {200, 304}:
            raise SystemExit(f"{path}: {answer.text}")
        return answer

    def seconds_anew(path: str) -> float:
        """Let a round pass, and return the processor time of the page after it."""
        clock.now += 5
        report(components, int(clock.now))
        return seconds(lambda: get(path))

    rows: list[Sequence[object]] = []
    for path in paths(components):
        first = seconds_anew(path)
        times = [seconds_anew(path) for _ in range(repetitions)]
        answer = get(path)
        etag = answer.headers.get("ETag", "")
        same = [seconds(lambda: get(path, etag)) for _ in range(repetitions)]  # noqa: B023
        slow, size = percentile(times, 95), len(answer.data)
        reached = slow <= GOAL_SECONDS and size <= GOAL_BYTES
        unchanged = ms(percentile(same, 95))
        rows.append((path, ms(first), ms(slow), unchanged, f"{size:,}", verdict(reached)))
    return components.log.state.size, rows


def main(*, days: int = DAYS, targets: int = TARGETS, repetitions: int = REPETITIONS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        size, rows = measure(Path(folder), days, targets, repetitions)
    columns = ("page", "first (ms)", "p95 (ms)", "304 (ms)", "bytes", "goal")
    note = "Processor time of a request, with rendering. First: after the start."
    show(f"Pages with {targets + 4} nodes and {size:,} entries", columns, rows, note)


if __name__ == "__main__":
    main()
