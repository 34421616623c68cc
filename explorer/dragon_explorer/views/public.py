"""The page `/public`: a chosen part of the fleet in plain words, without internals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from dragon_explorer.sources import Sources
from dragon_explorer.views.uptime import NodeStatus, Uptime, bar, status_of, uptimes

INCIDENT_DAYS: Final = 14
MAX_INCIDENTS: Final = 50
MAX_PER_NODE: Final = 50
DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class PublicNode:
    """One service as the public sees it."""

    node_id: str  # for badges; not shown
    name: str
    status: NodeStatus
    since: int | None
    uptimes: tuple[Uptime, ...]
    bar: str  # a letter for each of the last 90 days: see `LETTERS` in uptime.py


@dataclass(frozen=True, slots=True)
class PublicIncident:
    """An outage in plain words."""

    name: str
    begun: int
    ended: int | None
    seconds: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Public:
    """The whole page."""

    now: int
    title: str
    text: str
    status: Literal["up", "down", "unknown"]  # down: any node is down; unknown: any is unknown
    sentence: str
    nodes: tuple[PublicNode, ...]
    incidents: tuple[PublicIncident, ...]  # newest first, of the last `INCIDENT_DAYS` days
    certified_until: int | None  # Unix seconds of the last checkpoint


def public(sources: Sources, now: int) -> Public:
    """Return the public page."""
    page = sources.public
    nodes = tuple(_node(sources, each.id, each.name, now) for each in page.nodes)
    last = sources.log.state.checkpoint
    down = [each.name for each in nodes if each.status == "down"]
    unknown = any(each.status == "unknown" for each in nodes)
    return Public(
        now=now,
        title=page.title,
        text=page.text,
        status="down" if down else "unknown" if unknown else "up",
        sentence=_sentence(down, unknown=unknown),
        nodes=nodes,
        incidents=_incidents(sources, now),
        certified_until=last.timestamp if last else None,
    )


def _sentence(down: list[str], *, unknown: bool) -> str:
    if len(down) == 1:
        return f"{down[0]} is down."
    if down:
        return f"{len(down)} services are down."
    return "The status of some services is unknown." if unknown else "All services are up."


def _node(sources: Sources, node_id: str, name: str, now: int) -> PublicNode:
    status, since = status_of(sources, node_id, now)
    return PublicNode(
        node_id, name, status, since, uptimes(sources, node_id, now), bar(sources, node_id, now)
    )


def _incidents(sources: Sources, now: int) -> tuple[PublicIncident, ...]:
    oldest = now - INCIDENT_DAYS * DAY_SECONDS
    found = [
        (each, node.name)
        for node in sources.public.nodes
        for each in sources.index.outages_of(node.id, MAX_PER_NODE)
        if each.ended is None or each.ended >= oldest
    ]
    found.sort(key=lambda each: each[0].begun, reverse=True)
    return tuple(
        _incident(name, outage.begun, outage.ended, now) for outage, name in found[:MAX_INCIDENTS]
    )


def _incident(name: str, begun: int, ended: int | None, now: int) -> PublicIncident:
    seconds = max(0, (now if ended is None else ended) - begun)
    verb = "has been down" if ended is None else "was down"
    return PublicIncident(name, begun, ended, seconds, f"{name} {verb} for {duration(seconds)}.")


def duration(seconds: int) -> str:
    """Return a duration in words, with at most two units."""
    parts = []
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " ".join(parts[:2]) or "less than a second"
