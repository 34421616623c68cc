"""The feed of incidents (Atom, RFC 4287)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dragon.encoding import MAX_INTEGER, to_hex
from dragon_explorer.index import Outage
from dragon_explorer.sources import Sources
from dragon_explorer.views.public import MAX_PER_NODE, duration

MAX_ENTRIES: Final = 50


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One outage. Times are texts of RFC 3339."""

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
    """Return the newest outages of all nodes."""
    newest = sources.index.outages(MAX_INTEGER, MAX_ENTRIES)
    found = [_entry(sources, each, each.node_id, f"/incidents/{each.position}") for each in newest]
    return _feed(sources, sources.committee.name, found)


def public_feed(sources: Sources) -> Feed:
    """Return the newest outages of the public page's nodes, by the names that it shows."""
    shown = sources.public
    outages = [
        (outage, node.name)
        for node in shown.nodes
        for outage in sources.index.outages_of(node.id, MAX_PER_NODE)
    ]
    outages.sort(key=lambda each: each[0].position, reverse=True)
    entries = [_entry(sources, outage, name, "/") for outage, name in outages[:MAX_ENTRIES]]
    return _feed(sources, shown.title, entries)


def _feed(sources: Sources, name: str, entries: Sequence[FeedEntry]) -> Feed:
    updated = max((each.updated for each in entries), default=rfc3339(0))
    id_ = f"urn:datadragon:{to_hex(sources.committee.network_id)}"
    return Feed(id_, f"Incidents of {name}", updated, tuple(entries))


def _entry(sources: Sources, outage: Outage, name: str, path: str) -> FeedEntry:
    begun, ended = outage.begun, outage.ended
    title, summary = f"{name} is down", f"Certified down since {rfc3339(begun)}."
    if ended is not None:
        title = f"{name} was down for {duration(ended - begun)}"
        summary = f"Certified down from {rfc3339(begun)} to {rfc3339(ended)}."
        if outage.has_left:
            title += " until it left the committee"
            summary += " Then it left the committee; nothing says that it was up again."
    return FeedEntry(
        id=f"urn:datadragon:{to_hex(sources.committee.network_id)}:{outage.position}",
        path=path,
        title=title,
        published=rfc3339(begun),
        updated=rfc3339(begun if ended is None else ended),
        summary=summary,
    )


def rfc3339(time: int) -> str:
    """Return Unix seconds in the form of RFC 3339."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
