"""The page `/nodes/<id>`: one node's history, and what each observer saw of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dragon_explorer.history.spans import Points, Span, span_for
from dragon_explorer.history.store import RESPONSE
from dragon_explorer.sources import Sources
from dragon_explorer.views.checks import CheckRow, check_of
from dragon_explorer.views.fleet import NodeRow, node_row, recent_latencies
from dragon_explorer.views.incidents import IncidentRow, incident_row
from dragon_explorer.views.maintenance import NodeMaintenance, node_maintenance
from dragon_explorer.views.observations import (
    CertificateRow,
    Observation,
    certificate,
    observations,
)
from dragon_explorer.views.probes import RecentProbes, recent_probes
from dragon_explorer.views.uptime import DayRow, days

MAX_INCIDENTS: Final = 50
MAX_CHART_OBSERVERS: Final = 9
MAX_CHART_POINTS: Final = 400  # of one observer; finer sums are put together
CHART_PERIODS: Final = {"1h": 3600, "24h": 86_400, "30d": 30 * 86_400, "90d": 90 * 86_400}
DEFAULT_CHART: Final = "24h"


@dataclass(frozen=True, slots=True)
class ChartLine:
    """Response times that one observer measured. Equal lengths; None: no answered probe."""

    observer: str
    mean_ms: tuple[int | None, ...]
    most_ms: tuple[int | None, ...]
    failed: tuple[int, ...]  # probes that did not see it up


@dataclass(frozen=True, slots=True)
class Chart:
    """Response times over a period. Uncertified."""

    period: str
    step: int  # seconds between two points
    times: tuple[int, ...]  # Unix seconds, the begin of each step
    lines: tuple[ChartLine, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """The whole page."""

    now: int
    since_epoch: int  # of the first committee that lists it
    listed_since: int  # Unix seconds, the seat of that committee
    left_epoch: int | None  # of the first committee that lists it no more; None: it is listed
    left: int | None  # Unix seconds, the seat of that committee
    node: NodeRow
    check: CheckRow | None  # what counts as up; None: an operator, or a node that has left
    certificate: CertificateRow | None  # of a `tls` target. Uncertified
    maintenance: NodeMaintenance
    days: tuple[DayRow, ...]  # of the bar, oldest first
    incidents: tuple[IncidentRow, ...]  # newest first
    observations: tuple[Observation, ...]  # uncertified
    recent: RecentProbes  # uncertified
    chart: Chart


def node(sources: Sources, now: int, node_id: str, period: str = DEFAULT_CHART) -> Node:
    """Return the page of one node. Raises UnknownNode."""
    known = sources.epochs.node(node_id)
    latencies = recent_latencies(sources, now).get(node_id, ())
    return Node(
        now=now,
        since_epoch=known.since_epoch,
        listed_since=known.since,
        left_epoch=known.left_epoch,
        left=known.left,
        node=node_row(sources, node_id, now, latencies),
        check=check_of(sources.committee, node_id),
        certificate=certificate(sources, node_id, now),
        maintenance=node_maintenance(sources, node_id, now),
        days=days(sources, node_id, now),
        incidents=tuple(
            incident_row(sources, each, now)
            for each in sources.index.outages_of(node_id, MAX_INCIDENTS)
        ),
        observations=tuple(observations(sources, node_id)),
        recent=recent_probes(sources, now, node_id),
        chart=chart(sources, now, node_id, period),
    )


def chart(sources: Sources, now: int, node_id: str, period: str) -> Chart:
    """Return the response times of a node over one of `CHART_PERIODS`."""
    seconds = CHART_PERIODS[period]
    span = span_for(seconds)
    step = _step(span, seconds)
    first = (now - seconds) - (now - seconds) % step
    times = tuple(range(first, now + 1, step))
    found = sources.history.points(
        RESPONSE, node_id, span, first=first, step=step, count=len(times)
    )
    kept = sorted(found, key=lambda name: (name in sources.committee.keys, name))
    lines = tuple(_line(name, found[name]) for name in kept[:MAX_CHART_OBSERVERS])
    return Chart(period, step, times, lines)


def _step(span: Span, seconds: int) -> int:
    per_point = -(-seconds // (span.seconds * MAX_CHART_POINTS))
    return span.seconds * per_point


def _line(observer: str, points: Points) -> ChartLine:
    means = tuple(points.means())
    most = zip(points.most, means, strict=True)
    return ChartLine(
        observer,
        means,
        tuple(each if mean is not None else None for each, mean in most),
        tuple(points.failed),
    )
