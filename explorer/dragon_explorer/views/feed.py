"""The feed of incidents (Atom, RFC 4287)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dragon.encoding import MAX_INTEGER, to_hex
from dragon_explorer.sources import Sources
from dragon_explorer.views.public import duration

MAX_ENTRIES: Final = 50


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One outage. Times are texts of RFC 3339."""

    id: str  # a URN that never changes
    position: int
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


def feed(sources: Sources, now: int) -> Feed:
    """Return the newest outages."""
    committee = to_hex(sources.committee.id)
    entries = []
    for outage in sources.index.outages(MAX_INTEGER, MAX_ENTRIES):
        title = f"{outage.node_id} is down"
        summary = f"Certified down since {rfc3339(outage.begun)}."
        if outage.ended is not None:
            title = f"{outage.node_id} was down for {duration(outage.ended - outage.begun)}"
            summary = f"Certified down from {rfc3339(outage.begun)} to {rfc3339(outage.ended)}."
        entries.append(
            FeedEntry(
                f"urn:datadragon:{committee}:{outage.position}",
                outage.position,
                title,
                rfc3339(outage.begun),
                rfc3339(outage.begun if outage.ended is None else outage.ended),
                summary,
            )
        )
    updated = max((each.updated for each in entries), default=rfc3339(0))
    title = f"Incidents of {sources.committee.name}"
    return Feed(f"urn:datadragon:{committee}", title, updated, tuple(entries))


def rfc3339(time: int) -> str:
    """Return Unix seconds in the form of RFC 3339."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
