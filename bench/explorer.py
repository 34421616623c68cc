"""The processor time and size of the explorer's pages: 200 nodes, and a log of 100,000 entries.

A log of 67 days with rounds of 5 s: a checkpoint a minute and 60 status events a day. The history
is full: minutes of a day, hours of 90 days and days of 2 years, of every node by every observer
whose response times are kept. Once with 4 operators, and once with 64. The clock moves between two
requests, so that no page comes from the cache. "304" is the cost of a request by a client that has
the page already.

Goal: p95 of at most 150 ms of processor time, and at most 300 KB, for each page.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from werkzeug.test import TestResponse

import full_history
import long_log
from dragon.encoding import to_hex
from dragon.net.http_client import HttpClient
from dragon.net.runtime import Runtime
from dragon.net.session import make_session
from dragon_explorer.app import create_app
from dragon_explorer.components import Components
from dragon_explorer.history.store import Gathering
from dragon_explorer.live import answers
from dragon_explorer.live.board import AggregatorReport, OperatorReport, Part, StreamReport
from dragon_explorer.live.sources import MAX_STREAMS_WATCHED, MAX_WINDOWS_READ, WINDOWS_SHOWN
from dragon_explorer.main import assemble, open_databases
from dragon_explorer.public_page import PublicPage
from dragon_explorer.settings import Settings
from fixtures import Members, make_members
from timing import ms, percentile, seconds, show, verdict

GOAL_SECONDS: Final = 0.150
GOAL_BYTES: Final = 300_000
DAYS: Final = 67
NODES: Final = 200
OPERATORS: Final = (4, 64)
ROUNDS: Final = 60  # that the aggregator's report has
PROBED_ROUNDS: Final = 30  # that an operator's report has
REPETITIONS: Final = 20
NODE: Final = "target_3"


class NoLedger:
    """A ledger that has nothing new."""

    def poll(self, *_: object) -> Sequence[Any]:
        return []


class Clock:
    """Moves by a page's tick with each request."""

    def __init__(self) -> None:
        self.now = 0.0


@dataclass(frozen=True)
class Built:
    """An explorer with a long log, reports of all services, and a full history."""

    components: Components
    members: Members
    log_bytes: int
    history_bytes: int


def build(folder: Path, days: int, operators: int, targets: int, clock: Clock) -> Built:
    """Build an explorer for one committee."""
    members = make_members(operators, targets=targets)
    committee = members.committee
    settings = Settings(
        committee=committee,
        database=folder / "explorer.db",
        nodes_files=(),
        host="",
        port=0,
        threads=1,
        public=PublicPage.of_all(committee),
    )
    long_log.fill(settings.database, members, days)
    clock.now = float(committee.rounds.genesis + days * long_log.DAY_SECONDS)
    _, history = open_databases(settings)
    history_bytes = full_history.fill(history.path, committee, int(clock.now))
    components = assembled(settings, clock)
    report(components, members, int(clock.now))
    gc.freeze()  # as the service does
    return Built(components, members, settings.database.stat().st_size, history_bytes)


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


def stream_id(number: int) -> str:
    return f"0x{number:064x}"


def asked(claim: answers.Claim, operators: Sequence[str]) -> answers.Gathering:
    """Return a question that every operator answered, one of them with a refusal."""
    return answers.Gathering(
        claim=claim,
        needed=len(operators) * 2 // 3 + 1,
        certified=True,
        answers=[
            answers.OperatorAnswer(
                operator=name, answer="signed" if place else "busy", detail="", latency_ms=20
            )
            for place, name in enumerate(operators)
        ],
    )


def report_streams(components: Components, operators: Sequence[str], now: int) -> AggregatorReport:
    """Put a stream service onto the board. Return what the aggregator says of its windows."""
    ready = Part(answers.Readiness(status="ready", reasons=[]), float(now))
    streams, windows = {}, {}
    for number in range(MAX_STREAMS_WATCHED):
        name = stream_id(number)
        streams[name] = answers.Stream(
            stream=name,
            name=f"stream-{number}",
            chunks=4000,
            bytes=10**9,
            windows=400,
            certified=390,
            stopped=None,
        )
        windows[name] = Part(
            tuple(
                answers.Window(
                    number=each,
                    state="voting",
                    first=10 * each,
                    count=10,
                    closed_ms=1000 * now,
                    position=None,
                )
                for each in range(400 - WINDOWS_SHOWN, 400)
            ),
            float(now),
        )
    components.sources.board.put(
        StreamReport("stream_service_1", "http://s", ready, Part(streams, float(now)), windows)
    )
    votes = [answers.Vote(operator=name, answer="signed", detail="") for name in operators]
    pending = tuple(
        answers.SubmittedWindow(
            stream=stream_id(number % 10), number=399 - number // 10, state="voting", votes=votes
        )
        for number in range(MAX_WINDOWS_READ)
    )
    return AggregatorReport("aggregator_0", "http://a", ready, windows=Part(pending, float(now)))


def report(components: Components, members: Members, now: int) -> None:
    """Put reports of all services onto the board."""
    committee, head = members.committee, components.log.head()
    operators, nodes = list(committee.keys), tuple(committee.urls)
    current = committee.rounds.number(now)
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
                    operator=operator,
                    node_id=NODE,
                    status="down",
                    after_ms=2500,
                    outcome="no_change",
                    detail="",
                )
                for operator in operators
            ],
            gatherings=[
                asked(
                    answers.Claim(kind="status", node_id=NODE, status="up", timestamp=now),
                    operators,
                ),
                asked(answers.Claim(kind="checkpoint", size=head.size, timestamp=now), operators),
            ],
        )
        for number in range(ROUNDS)
    )
    ready = Part(answers.Readiness(status="ready", reasons=[]), float(now))
    aggregator = report_streams(components, operators, now)
    components.sources.board.put(replace(aggregator, rounds=Part(rounds, float(now))))
    keep_gathering(components, rounds[-1].gatherings[0])
    said = answers.LogHead(size=head.size, root=to_hex(head.root), ledger_index=head.size)
    seen = answers.Seen(status="up", reason="answered", at=now, latency_ms=30)
    listed = {node: answers.Node(node_id=node, status="up", since=now, seen=seen) for node in nodes}
    probed = tuple(
        probed_round(nodes, number, committee.rounds.start(number))
        for number in range(current - PROBED_ROUNDS + 1, current + 1)
    )
    for operator in committee.operators:
        components.sources.board.put(
            OperatorReport(
                operator.id,
                operator.url,
                ready,
                head=Part(said, float(now)),
                nodes=Part(listed, float(now)),
                probes=Part(probed, float(now)),
            )
        )


@cache
def probed_round(nodes: tuple[str, ...], number: int, start: int) -> answers.ProbedRound:
    """A round of an operator. The explorer keeps rounds: a reading brings only new ones."""
    probes = probes_of(nodes, number % ROUNDS)
    return answers.ProbedRound(number=number, start=start, probes=probes)


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


def keep_gathering(components: Components, gathering: answers.Gathering) -> None:
    """Keep how the operators answered about the change of status that is shown."""
    last = components.log.state.nodes[NODE][-1]
    components.sources.history.keep_gatherings(
        [
            Gathering(
                NODE,
                str(last.status),
                last.timestamp,
                "aggregator_0",
                gathering.model_dump_json(),
            )
        ]
    )


def paths(components: Components) -> Iterator[str]:
    """Yield the pages that are measured."""
    log, middle = components.log, components.log.state.size // 2
    change = log.state.nodes[NODE][-1].position
    yield from ("/", f"/nodes/{NODE}", f"/nodes/{NODE}?period=90d", "/incidents")
    yield from (f"/incidents/{change}", "/rounds", "/committee", "/streams")
    yield from (f"/streams/{stream_id(3)}", f"/streams/{stream_id(3)}/windows/399", "/verify")
    yield from ("/log", f"/log?before={middle}", f"/log/{middle}", "/public")
    yield from (f"/badge/{NODE}.svg", "/feed.atom", "/api/fleet", f"/api/nodes/{NODE}")
    yield from ("/api/incidents", "/api/rounds", "/api/committee", "/api/streams", "/api/log")
    yield "/api/public"


def measure(
    components: Components, members: Members, clock: Clock, repetitions: int
) -> list[Sequence[object]]:
    """Return the rows of the table."""
    client = create_app(components).test_client()

    def get(path: str, etag: str = "") -> TestResponse:
        answer = client.get(path, headers={"If-None-Match": etag} if etag else {})
        if answer.status_code not in {200, 304}:
            raise SystemExit(f"{path}: {answer.text}")
        return answer

    def seconds_anew(path: str) -> float:
        """Let a round pass, and return the processor time of the page after it."""
        clock.now += 5
        report(components, members, int(clock.now))
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
        shown = path.replace(stream_id(3), "<id>")
        rows.append((shown, ms(first), ms(slow), unchanged, f"{size:,}", verdict(reached)))
    return rows


def main(
    *,
    days: int = DAYS,
    operators: Sequence[int] = OPERATORS,
    nodes: int = NODES,
    repetitions: int = REPETITIONS,
) -> None:
    columns = ("page", "first (ms)", "p95 (ms)", "304 (ms)", "bytes", "goal")
    sizes: list[Sequence[object]] = []
    for number in operators:
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            built = build(Path(folder), days, number, nodes - number, clock)
            rows = measure(built.components, built.members, clock, repetitions)
        entries, bound = built.components.log.state.size, full_history.largest_bytes()
        note = "Processor time of a request, with rendering. First: after the start."
        title = f"{number} operators, {nodes} nodes and {entries:,} entries"
        show(title, columns, rows, note)
        kept = len(list(full_history.series(built.components.sources.committee)))
        reached = verdict(built.history_bytes <= bound)
        sizes.append(
            (
                number,
                f"{built.log_bytes:,}",
                kept,
                f"{built.history_bytes:,}",
                f"{bound:,}",
                reached,
            )
        )
    columns = ("operators", "log (bytes)", "series", "history (bytes)", "bound", "goal")
    show("Files on disk", columns, sizes, "The history is full.")


if __name__ == "__main__":
    main()
