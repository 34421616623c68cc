"""Events of the log become episodes.

Outages of nodes, invalid windows, handovers, and announcements of maintenance.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dragon.encoding import to_hex
from dragon.protocol.claims.base import Claim, kind_of
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import Verdict, WindowClaim
from dragon.protocol.log_entry import LogEntry
from dragon_explorer.alerts.conditions import OF_NODES, Condition
from dragon_explorer.alerts.config import Rule
from dragon_explorer.alerts.episodes import Episode, Episodes

# Returns the ids of the nodes that the committee of a handover lists.
Listed: TypeAlias = Callable[[HandoverClaim], Container[str]]


@dataclass(frozen=True, slots=True)
class Moment:
    """An incident without a duration."""

    condition: Condition
    subject: str
    timestamp: int  # Unix seconds


def apply(
    episodes: Episodes, entry: LogEntry, rules: Sequence[Rule], listed: Listed, now: float
) -> None:
    """Take one entry of the log into account. `now`: Unix seconds."""
    claim = entry.event.claim
    if isinstance(claim, StatusClaim):
        for rule in rules:
            if Condition.NODE_DOWN in rule.conditions and rule.selects(claim.node_id):
                _apply_status(episodes, entry, claim, rule.name, now)
    elif isinstance(claim, HandoverClaim):
        _end_outages(episodes, entry, claim, listed(claim), now)
    if (found := _moment(claim)) is not None:
        for rule in rules:
            selects = found.condition not in OF_NODES or rule.selects(found.subject)
            if found.condition in rule.conditions and selects:
                _open_moment(episodes, entry, rule.name, found, now)


def _apply_status(
    episodes: Episodes, entry: LogEntry, claim: StatusClaim, rule: str, now: float
) -> None:
    if claim.status is Status.DOWN:
        episodes.open(
            Episode(
                rule,
                Condition.NODE_DOWN,
                claim.node_id,
                claim.timestamp,
                f"{kind_of(claim).sentence(claim)}.",
                now,
                entry.position,
            )
        )
    elif found := episodes.find(rule, Condition.NODE_DOWN, claim.node_id):
        found.end(claim.timestamp, now, entry.position)


def _end_outages(
    episodes: Episodes, entry: LogEntry, claim: HandoverClaim, listed: Container[str], now: float
) -> None:
    """End the outages of nodes that have left: their status is unknown, not down."""
    for episode in episodes.active:
        is_outage = episode.condition is Condition.NODE_DOWN and episode.lasts
        if is_outage and episode.subject not in listed:
            episode.end(max(episode.begun, claim.timestamp), now, entry.position)


def _moment(claim: Claim) -> Moment | None:
    """Return the incident without a duration that an event is."""
    if isinstance(claim, HandoverClaim):
        return Moment(Condition.COMMITTEE_CHANGED, f"epoch {claim.epoch}", claim.timestamp)
    if isinstance(claim, MaintenanceClaim):
        return Moment(Condition.MAINTENANCE_ANNOUNCED, claim.node_id, claim.timestamp)
    if isinstance(claim, WindowClaim) and claim.verdict is Verdict.INVALID:
        subject = f"{to_hex(claim.stream)}/{claim.number}"
        return Moment(Condition.WINDOW_INVALID, subject, claim.timestamp)
    return None


def _open_moment(
    episodes: Episodes, entry: LogEntry, rule: str, moment: Moment, now: float
) -> None:
    claim = entry.event.claim
    sentence = kind_of(claim).sentence(claim)
    episode = Episode(
        rule,
        moment.condition,
        moment.subject,
        moment.timestamp,
        f"{sentence[0].upper()}{sentence[1:]}.",
        now,
        entry.position,
    )
    episode.end(moment.timestamp, now)
    episodes.open(episode)
