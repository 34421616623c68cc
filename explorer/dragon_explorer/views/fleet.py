"""The page `/`: every node, open incidents, and the health of the certification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from dragon_explorer.live import answers
from dragon_explorer.sources import Sources
from dragon_explorer.views.health import FleetHealth, health
from dragon_explorer.views.incidents import IncidentRow, incident_row
from dragon_explorer.views.maintenance import MaintenanceRow, running
from dragon_explorer.views.uptime import NodeStatus, Uptime, bar, status_of, uptimes

SPARK_ROUNDS: Final = 30  # last rounds of the small chart of a node
MAX_OPEN_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node of the fleet."""

    node_id: str
    kind: Literal["operator", "target"]
    url: str
    status: NodeStatus  # certified
    since: int | None  # Unix seconds
    position: int | None  # of the event that says so
    maintenance: MaintenanceRow | None  # announced maintenance that runs. It changes no status
    uptimes: tuple[Uptime, ...]
    bar: str  # a letter for each of the last 90 days: see `LETTERS` in uptime.py
    latency_ms: int | None  # of the last answered probe of an aggregator. Uncertified
    latencies_ms: tuple[int | None, ...]  # of the last rounds, oldest first; None: no answer


@dataclass(frozen=True, slots=True)
class Fleet:
    """The whole page."""

    committee: str  # its name
    now: int  # Unix seconds
    nodes: tuple[NodeRow, ...]
    counts: Mapping[NodeStatus, int]  # nodes by status
    in_maintenance: int  # nodes, whatever their status is
    open_incidents: tuple[IncidentRow, ...]  # newest first, at most `MAX_OPEN_SHOWN`
    health: FleetHealth


def fleet(sources: Sources, now: int) -> Fleet:
    """Return the page of the whole fleet."""
    latencies = recent_latencies(sources, now)
    rows = tuple(
        node_row(sources, node_id, now, latencies.get(node_id, ()))
        for node_id in sources.committee.urls
    )
    counts: dict[NodeStatus, int] = {"up": 0, "down": 0, "unknown": 0}
    for row in rows:
        counts[row.status] += 1
    newest = sources.index.open_outages()[: -MAX_OPEN_SHOWN - 1 : -1]
    return Fleet(
        committee=sources.committee.name,
        now=now,
        nodes=rows,
        counts=counts,
        in_maintenance=sum(each.maintenance is not None for each in rows),
        open_incidents=tuple(incident_row(sources, each, now) for each in newest),
        health=health(sources, now),
    )


def node_row(
    sources: Sources, node_id: str, now: int, latencies: tuple[int | None, ...]
) -> NodeRow:
    """Return one node of the fleet."""
    status, since = status_of(sources, node_id, now)
    known = sources.epochs.node(node_id)
    answered = [each for each in latencies if each is not None]
    last = sources.log.state.last(node_id)
    return NodeRow(
        node_id=node_id,
        kind=known.kind,
        url=known.url,
        status=status,
        since=since,
        position=last.position if last else None,
        maintenance=running(sources, node_id, now),
        uptimes=uptimes(sources, node_id, now),
        bar=bar(sources, node_id, now),
        latency_ms=answered[-1] if answered else None,
        latencies_ms=latencies,
    )


def last_rounds(sources: Sources, now: int) -> tuple[answers.Round, ...]:
    """The rounds of the first aggregator that still holds rounds, oldest first."""
    oldest = now - sources.committee.rounds.certification_late_after
    return next(
        (
            each.rounds.value
            for each in sources.board.aggregators()
            if each.rounds.value and each.rounds.value[-1].start >= oldest
        ),
        (),
    )


def recent_latencies(sources: Sources, now: int) -> dict[str, tuple[int | None, ...]]:
    """Return the response times of the last rounds by node, in milliseconds, oldest first."""
    rounds = last_rounds(sources, now)[-SPARK_ROUNDS:]
    listed = sources.committee.urls  # nobody probes a node that has left
    found: dict[str, list[int | None]] = {}
    for number, each in enumerate(rounds):
        for probe in each.probes:
            if probe.node_id not in listed:
                continue
            values = found.setdefault(probe.node_id, [None] * len(rounds))
            values[number] = probe.latency_ms if probe.seen == answers.UP else None
    return {node_id: tuple(values) for node_id, values in found.items()}
