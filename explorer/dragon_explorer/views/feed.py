"""The feed of incidents (Atom, RFC 4287)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dragon.encoding import MAX_INTEGER, to_hex
from dragon_explorer.index import Outage
from dragon_explorer.maintenance import Window
from dragon_explorer.sources import Sources
from dragon_explorer.views.maintenance import in_words
from dragon_explorer.views.public import MAX_PER_NODE, duration

MAX_ENTRIES: Final = 50


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One outage, or one announced maintenance. Times are texts of RFC 3339."""

    id: str  # a URN that never changes
    path: str  # of its page
    title: str
    published: str
    updated: str
    summary: str


@dataclass(frozen=True, slots=True)
class Feed:
    """The whole feed."""

    id: str
    title: str
    updated: str
    entries: tuple[FeedEntry, ...]


def feed(sources: Sources) -> Feed:
    """Return the newest outages of all nodes, and the newest announcements of maintenance."""
    outages = sources.index.outages(MAX_INTEGER, MAX_ENTRIES)
    found = [_entry(sources, each, each.node_id, f"/incidents/{each.position}") for each in outages]
    for each in sources.maintenance.newest(MAX_INTEGER, MAX_ENTRIES):
        found.append(_announcement(sources, each, each.node_id, f"/log/{each.position}"))
    return _feed(sources, sources.committee.name, found)


def public_feed(sources: Sources) -> Feed:
    """Return the same about the public page's nodes, by the names that it shows."""
    shown, entries = sources.public, list[FeedEntry]()
    for node in shown.nodes:
        for outage in sources.index.outages_of(node.id, MAX_PER_NODE):
            entries.append(_entry(sources, outage, node.name, "/"))
        for window in sources.maintenance.of(node.id)[-MAX_PER_NODE:]:
            entries.append(_announcement(sources, window, node.name, "/"))
    return _feed(sources, shown.title, entries)


def _feed(sources: Sources, name: str, entries: Sequence[FeedEntry]) -> Feed:
    newest = sorted(entries, key=lambda each: each.published, reverse=True)[:MAX_ENTRIES]
    updated = max((each.updated for each in newest), default=rfc3339(0))
    id_ = f"urn:datadragon:{to_hex(sources.committee.network_id)}"
    return Feed(id_, f"Incidents of {name}", updated, tuple(newest))


def _entry(sources: Sources, outage: Outage, name: str, path: str) -> FeedEntry:
    begun, ended = outage.begun, outage.ended
    title, summary = f"{name} is down", f"Certified down since {rfc3339(begun)}."
    if ended is not None:
        title = f"{name} was down for {duration(ended - begun)}"
        summary = f"Certified down from {rfc3339(begun)} to {rfc3339(ended)}."
        if outage.has_left:
            title += " until it left the committee"
            summary += " Then it left the committee; nothing says that it was up again."
        announced = sources.maintenance.seconds(outage.node_id, begun, ended)
        if words := in_words(announced, ended - begun, duration(announced)):
            title += f", {words}"
    return FeedEntry(
        id=f"urn:datadragon:{to_hex(sources.committee.network_id)}:{outage.position}",
        path=path,
        title=title,
        published=rfc3339(begun),
        updated=rfc3339(begun if ended is None else ended),
        summary=summary,
    )


def _announcement(sources: Sources, window: Window, name: str, path: str) -> FeedEntry:
    begin, end = rfc3339(window.begin), rfc3339(window.end)
    return FeedEntry(
        id=f"urn:datadragon:{to_hex(sources.committee.network_id)}:{window.position}",
        path=path,
        title=f"Maintenance of {name} is announced: {duration(window.end - window.begin)}",
        published=rfc3339(window.announced),
        updated=rfc3339(window.announced),
        summary=f"Announced from {begin} to {end}. It changes no status: downtime is certified.",
    )


def rfc3339(time: int) -> str:
    """Return Unix seconds in the form of RFC 3339."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
