"""Time and memory of a period report: a year, 8,192 nodes, at an operator and for a verifier.

The log is synthetic: a checkpoint a minute with some missing, and a handover in the middle that
replaces half of the targets. Each node goes down 24 times a year; one in a hundred flaps 500 times.
Marks and transitions, their index and the Merkle tree are those of a real log; there are no
signatures except on the report.

Goal: at most 10 s and 200 MB at an operator, and a file below 2.5 KB that proves one node.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from dragon.encoding import canonical, parse
from dragon.log.downtime_index import DowntimeIndex, Totals
from dragon.log.listed_nodes import ListedNodes
from dragon.log.period import report_at
from dragon.log.store import TreeHead
from dragon.protocol import merkle
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, Target
from dragon.protocol.marks import Mark
from dragon.protocol.period import PeriodReport, ProvenLeaf
from dragon.protocol.state import History, State, Transition
from dragon.protocol.succession import Known
from fixtures import Members, make_members
from timing import percentile, seconds, show, verdict

GOAL_SECONDS: Final = 10.0
GOAL_MB: Final = 200.0
GOAL_BYTES: Final = 2500
DAY_SECONDS: Final = 86_400
OPERATORS: Final = 4
OUTAGES: Final = 24  # of a node in a year
FLAPS: Final = 500  # of a node that flaps
FLAPPING: Final = 100  # one node of this number flaps
OUTAGE_SECONDS: Final = (10, 60, 300, 3600)
MISSING_EVERY: Final = 1000  # checkpoints after which some are missing, as in `long_log`
MISSING: Final = 3


@dataclass
class SyntheticLog:
    """The part of a log that a report is computed from."""

    state: State
    committees: list[Committee]
    tree: merkle.Tree
    downtime: DowntimeIndex = field(default_factory=DowntimeIndex)
    listed: ListedNodes = field(default_factory=ListedNodes)

    def index(self) -> None:
        """Build the indexes, as a start of the service does."""
        self.downtime.extend(self.state)
        self.listed.extend(self.committees, self.state)

    def head(self, size: int) -> TreeHead:
        return TreeHead(size, self.tree.root(size))

    def totals(self, size: int, node_id: str, interval: tuple[int, int]) -> Totals:
        return self.downtime.totals(size, node_id, interval)

    def listed_nodes(self, size: int, interval: tuple[int, int]) -> list[str]:
        return self.listed.during(size, interval)


def committees(members: Members, nodes: int) -> list[Committee]:
    """Two committees that have listed so many nodes together; half of the targets stay."""
    found = [Target(f"target_{at:04}", f"http://target-{at}:80") for at in range(nodes - OPERATORS)]
    half = len(found) // 2
    first = replace(members.committee, targets=tuple(found[:half]))
    return [first, replace(first, epoch=1, network=first.id, targets=tuple(found[half:]))]


def moves(node_id: str, listed: tuple[int, int], days: int, flaps: bool) -> Iterator[Transition]:
    """Yield the transitions of a node that is listed in an interval."""
    draw = random.Random(node_id)  # noqa: S311 - the same log in each run
    yield Transition(Status.UP, listed[0] + 5)
    outages = max(1, (FLAPS if flaps else OUTAGES) * days // 365)
    for begin in sorted(draw.sample(range(listed[0] + 10, listed[1] - 7200, 7200), outages)):
        yield Transition(Status.DOWN, begin)
        yield Transition(Status.UP, begin + draw.choice(OUTAGE_SECONDS))


def make_log(members: Members, days: int, nodes: int) -> SyntheticLog:
    """Make the log of so many days."""
    epochs = committees(members, nodes)
    rounds = members.committee.rounds
    begin, end = rounds.genesis, rounds.genesis + days * DAY_SECONDS
    seat = rounds.start(12 * (days * DAY_SECONDS // rounds.checkpoint_every // 2))
    times = [
        rounds.start(12 * number)
        for number in range(1, days * DAY_SECONDS // rounds.checkpoint_every + 20)
        if number % MISSING_EVERY >= MISSING or rounds.start(12 * number) == seat
    ]
    events: list[tuple[int, str, Transition | None]] = [(at, "", None) for at in times]
    for number, node_id in enumerate(sorted(epochs[0].urls.keys() | epochs[1].urls.keys())):
        stays = node_id in epochs[0].urls and node_id in epochs[1].urls
        last = end if stays or node_id in epochs[1].urls else seat
        first = begin if node_id in epochs[0].urls else seat
        for move in moves(node_id, (first, last), days, number % FLAPPING == 0):
            events.append((move.timestamp, node_id, move))
    events.sort(key=lambda each: (each[0], each[1]))
    return _applied(epochs, events, seat)


def _applied(
    epochs: list[Committee], events: list[tuple[int, str, Transition | None]], seat: int
) -> SyntheticLog:
    """Give each event its position, and each mark the size of the log before it."""
    rounds, marks, handovers = epochs[0].rounds, [], []
    found: dict[str, list[Transition]] = {}
    for position, (timestamp, node_id, move) in enumerate(events):
        if move is not None:
            found.setdefault(node_id, []).append(replace(move, position=position))
            continue
        marks.append(Mark(position, bytes(32), timestamp, position, rounds))
        if timestamp == seat:
            handovers.append(marks[-1])
    [handover] = handovers
    for node_id in epochs[0].urls.keys() - epochs[1].urls.keys():
        found[node_id].append(Transition(None, handover.timestamp, handover.position))
    nodes = {node_id: History(listed) for node_id, listed in found.items()}
    tree = merkle.Tree(merkle.leaf_hash(b"%d" % position) for position in range(len(events)))
    state = State(
        Known.of(epochs),
        nodes,
        History(marks),
        checkpoint=marks[-1],
        handovers=History(handovers),
        size=len(events),
    )
    return SyntheticLog(state, epochs, tree)


def _with_a_mark(state: State) -> State:
    last = state.marks[-1]
    mark = replace(last, position=state.size, timestamp=last.timestamp + 60)
    return replace(state, marks=state.marks.appended(mark), size=state.size + 1)


def peak_mb(work: Callable[[], object]) -> float:
    """Return the most memory that a call has allocated at a time, in MB."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def usual_wait(log: SyntheticLog, work: Callable[[], object]) -> float:
    """Return the time in seconds that another thread waits for a node's totals, 95th percentile."""
    waits, done = [0.0], threading.Event()
    interval = (log.state.committee.rounds.genesis, log.state.log_time)

    def ask() -> None:
        while not done.is_set():
            begun = time.perf_counter()
            log.totals(log.state.size, "operator_1", interval)
            waits.append(time.perf_counter() - begun)
            time.sleep(0.001)

    asking = threading.Thread(target=ask)
    asking.start()
    work()
    done.set()
    asking.join()
    return percentile(waits, 95)


def main(*, days: int = 365, nodes: int = 8192) -> None:
    members = make_members(OPERATORS)
    log = make_log(members, days, nodes)
    genesis = members.committee.rounds.genesis
    interval = (genesis, genesis + days * DAY_SECONDS)
    size = log.state.size

    def computed() -> PeriodReport:
        claim, leaves = report_at(log, interval, size=size)
        certificate = members.certify(claim, list(members.secrets)[:3])
        return PeriodReport.of(certificate, leaves)

    at_start = seconds(log.index)
    one_mark = seconds(lambda: log.downtime.extend(_with_a_mark(log.state)))
    held = peak_mb(replace(log, downtime=DowntimeIndex(), listed=ListedNodes()).index)
    report = computed()
    written = canonical(report.to_json())
    proven = report.prove(report.leaves[nodes // 2].node_id)
    small = json.dumps(proven.to_json(), indent=2).encode()
    took = min(seconds(lambda: report_at(log, interval, size=size)) for _ in range(3))
    memory = held + peak_mb(lambda: report_at(log, interval, size=size))
    wait = usual_wait(log, lambda: report_at(log, interval, size=size))
    verified = seconds(lambda: PeriodReport.from_json(parse(written)).verify(members.committee))
    one = seconds(lambda: ProvenLeaf.from_json(parse(small)).verify(members.committee))
    moved = sum(map(len, log.state.nodes.values()))
    rows = [
        ("operator: the report, s", f"{took:.2f}", verdict(took <= GOAL_SECONDS)),
        ("operator: memory for it and the index, MB", f"{memory:.1f}", verdict(memory <= GOAL_MB)),
        ("operator: index, once at the start, s", f"{at_start:.2f}", ""),
        ("operator: index, with each further mark, ms", f"{1000 * one_mark:.1f}", ""),
        ("operator: wait of another thread, p95, ms", f"{1000 * wait:.1f}", ""),
        ("aggregator: the answer, MB", f"{len(written) / 1e6:.2f}", ""),
        ("verifier: the whole report, s", f"{verified:.2f}", ""),
        ("verifier: one node, ms", f"{1000 * one:.1f}", ""),
        ("file for one node, bytes", len(small), verdict(len(small) < GOAL_BYTES)),
    ]
    note = (
        f"{days} days, {len(report.leaves)} nodes, {len(log.state.marks)} marks, {moved} "
        "transitions. Times but the wait are processor time."
    )
    show("A period report", ("", "", "goal"), rows, note)


if __name__ == "__main__":
    main(**dict(itertools.islice(zip(("days", "nodes"), map(int, sys.argv[1:]), strict=False), 2)))
