"""The page `/public`: a chosen part of the fleet in plain words, without internals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from dragon.encoding import MAX_INTEGER
from dragon_explorer import public_page as page
from dragon_explorer.index import Outage
from dragon_explorer.sources import Sources
from dragon_explorer.views.maintenance import MaintenanceRow, in_words, running
from dragon_explorer.views.uptime import NodeStatus, Uptime, bar, status_of, uptimes

INCIDENT_DAYS: Final = 14
MAX_INCIDENTS: Final = 50
MAX_PER_NODE: Final = 50
MAX_WINDOWS: Final = 20
DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class PublicNode:
    """One service as the public sees it."""

    node_id: str  # for badges; not shown
    name: str
    group: str  # name of its group; empty: it is in none
    status: NodeStatus
    since: int | None
    left: int | None  # Unix seconds, when it left the committee; None: it is watched
    maintenance: MaintenanceRow | None  # announced maintenance that runs. It changes no status
    uptimes: tuple[Uptime, ...]
    bar: str  # a letter for each of the last 90 days: see `LETTERS` in uptime.py


@dataclass(frozen=True, slots=True)
class PublicNote:
    """A text of the page's owner. Uncertified."""

    title: str
    text: str
    begin: int | None  # Unix seconds
    end: int | None  # Unix seconds
    stage: Literal["planned", "now"]
    services: tuple[str, ...]  # names


@dataclass(frozen=True, slots=True)
class PublicMaintenance:
    """Announced maintenance that runs or is to come. Certified."""

    name: str
    begin: int  # Unix seconds
    end: int  # Unix seconds, exclusive
    stage: Literal["now", "coming"]


@dataclass(frozen=True, slots=True)
class PublicIncident:
    """An outage in plain words."""

    name: str
    begun: int
    ended: int | None
    seconds: int
    sentence: str
    has_left: bool  # it ended because the node left the committee
    seconds_maintenance: int  # of its seconds, those in announced maintenance


@dataclass(frozen=True, slots=True)
class Public:
    """The whole page."""

    now: int
    title: str
    text: str
    status: Literal["up", "down", "unknown"]  # down: any node is down; unknown: any is unknown
    sentence: str
    notes: tuple[PublicNote, ...]
    maintenance: tuple[PublicMaintenance, ...]  # of these nodes, the next first
    nodes: tuple[PublicNode, ...]  # those of a group are neighbours
    incidents: tuple[PublicIncident, ...]  # newest first, of the last `INCIDENT_DAYS` days
    certified_until: int | None  # Unix seconds of the last checkpoint

    @property
    def groups(self) -> Sequence[tuple[str, Sequence[PublicNode]]]:
        """The nodes of each group, by its name, for templates."""
        return [(name, list(nodes)) for name, nodes in groupby(self.nodes, lambda each: each.group)]


def public(sources: Sources, now: int) -> Public:
    """Return the public page."""
    shown = sources.public
    nodes = tuple(_node(sources, each, now) for each in shown.nodes)
    last = sources.log.state.checkpoint
    watched = [each for each in nodes if each.left is None]
    down = [each for each in watched if each.status == "down"]
    unknown = [each.name for each in watched if each.status == "unknown"]
    return Public(
        now=now,
        title=shown.title,
        text=shown.text,
        status="down" if down else "unknown" if unknown or not watched else "up",
        sentence=_sentence(down, unknown, len(watched)),
        notes=_notes(shown, now),
        maintenance=_maintenance(sources, shown, now),
        nodes=nodes,
        incidents=_incidents(sources, shown, now),
        certified_until=last.timestamp if last else None,
    )


def _sentence(down: Sequence[PublicNode], unknown: Sequence[str], total: int) -> str:
    if down:
        who = f"{down[0].name} is" if len(down) == 1 else f"{len(down)} services are"
        is_announced = all(each.maintenance for each in down)
        return f"{who} down{' in announced maintenance' if is_announced else ''}."
    if not total:
        return "No service is watched any more."
    if not unknown:
        return "All services are up."
    if len(unknown) == total:
        return "The status is unknown at the moment."
    if len(unknown) == 1:
        return f"The status of {unknown[0]} is unknown."
    return f"The status of {len(unknown)} services is unknown."


def _node(sources: Sources, node: page.PublicNode, now: int) -> PublicNode:
    status, since = status_of(sources, node.id, now)
    return PublicNode(
        node_id=node.id,
        name=node.name,
        group=node.group,
        status=status,
        since=since,
        left=sources.epochs.node(node.id).left,
        maintenance=running(sources, node.id, now),
        uptimes=uptimes(sources, node.id, now),
        bar=bar(sources, node.id, now),
    )


def _notes(shown: page.PublicPage, now: int) -> tuple[PublicNote, ...]:
    """The notes that have not ended."""
    names = {each.id: each.name for each in shown.nodes}
    return tuple(
        PublicNote(
            title=each.title,
            text=each.text,
            begin=each.begin,
            end=each.end,
            stage="planned" if each.begin is not None and now < each.begin else "now",
            services=tuple(names.get(node_id, node_id) for node_id in each.nodes),
        )
        for each in shown.notes
        if each.end is None or now < each.end
    )


def _maintenance(
    sources: Sources, shown: page.PublicPage, now: int
) -> tuple[PublicMaintenance, ...]:
    found = []
    for node in shown.nodes:
        for window in sources.maintenance.between(node.id, now, MAX_INTEGER):
            stage: Literal["now", "coming"] = "coming" if now < window.begin else "now"
            found.append(PublicMaintenance(node.name, window.begin, window.end, stage))
    return tuple(sorted(found, key=lambda each: each.begin)[:MAX_WINDOWS])


def _incidents(sources: Sources, shown: page.PublicPage, now: int) -> tuple[PublicIncident, ...]:
    oldest = now - INCIDENT_DAYS * DAY_SECONDS
    found = [
        (each, node.name)
        for node in shown.nodes
        for each in sources.index.outages_of(node.id, MAX_PER_NODE)
        if each.ended is None or each.ended >= oldest
    ]
    found.sort(key=lambda each: each[0].begun, reverse=True)
    return tuple(_incident(sources, name, outage, now) for outage, name in found[:MAX_INCIDENTS])


def _incident(sources: Sources, name: str, outage: Outage, now: int) -> PublicIncident:
    begun, ended = outage.begun, outage.ended
    until = now if ended is None else ended
    seconds = max(0, until - begun)
    announced = sources.maintenance.seconds(outage.node_id, begun, until)
    verb = "has been down" if ended is None else "was down"
    end = ", until it was no longer watched" if outage.has_left else ""
    words = in_words(announced, seconds, duration(announced))
    sentence = f"{name} {verb} for {duration(seconds)}{end}{', ' + words if words else ''}."
    return PublicIncident(name, begun, ended, seconds, sentence, outage.has_left, announced)


def duration(seconds: int) -> str:
    """Return a duration in words, with at most two units."""
    parts = []
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " ".join(parts[:2]) or "less than a second"
