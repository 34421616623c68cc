"""Messages about episodes: words for people, and a JSON body with the events that prove them."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dragon.encoding import Json, canonical, to_hex
from dragon.protocol.claims.base import utc
from dragon.protocol.committee import Seated
from dragon.protocol.event import Event
from dragon_explorer.alerts.conditions import FACTS, OF_NODES, Condition
from dragon_explorer.alerts.episodes import NO_POSITION, Episode
from dragon_explorer.alerts.holding import Holding
from dragon_explorer.alerts.outbox import Message
from dragon_explorer.views.public import duration

MAX_GROUP: Final = 64  # incidents of one message
MAX_NAMES: Final = 5  # in a title


class Phase(enum.StrEnum):
    BEGUN = "begun"
    REMINDER = "reminder"
    RESOLVED = "resolved"


# By condition: the beginning of a title. Subjects follow if there are several of them.
TITLES: Final[Mapping[Condition, str]] = {
    Condition.NODE_DOWN: "Down",
    Condition.FLAPPING: "Flapping",
    Condition.OPERATOR: "Operator in trouble",
    Condition.QUORUM: "The quorum's margin is used up",
    Condition.CHECKPOINT: "No checkpoint is certified",
    Condition.LEDGER: "The ledger is stalled",
    Condition.LOG_ALARM: "The log has stopped with an alarm",
    Condition.WINDOW_INVALID: "Window certified invalid",
    Condition.WINDOW_WAITING: "Window waits for its certificate",
    Condition.TLS: "Trouble with a TLS certificate",
    Condition.TARGET_CERTIFICATE: "A TLS certificate expires soon",
    Condition.DISK: "Trouble with a disk",
    Condition.COMMITTEE_CHANGED: "The committee has changed",
    Condition.APPROVAL_PENDING: "Owners have approved a next committee",
    Condition.MAINTENANCE_ANNOUNCED: "Maintenance is announced",
}
_WITHOUT_SUBJECT: Final = (Condition.QUORUM, Condition.CHECKPOINT)


@dataclass(frozen=True, slots=True)
class Context:
    """What messages need besides their episodes."""

    seated: Seated  # knows the committee that holds
    explorer_url: str
    event_at: Callable[[int], Event | None]  # by position in the log
    status_of: Callable[[str], str]  # of a node, by the log
    holding: Holding  # knows announced maintenance

    @property
    def committee_id(self) -> str:
        """The id of the committee that holds."""
        return to_hex(self.seated.committee.id)

    @property
    def network_id(self) -> str:
        """The id of the network, which stays the same in all epochs."""
        return to_hex(self.seated.committee.network_id)

    @property
    def committee_name(self) -> str:
        return self.seated.committee.name

    def has_left(self, episode: Episode) -> bool:
        """Whether an incident about a node ended because the node left the committee."""
        if episode.condition not in OF_NODES or episode.lasts:
            return False
        if not FACTS[episode.condition].has_end:
            return False
        return episode.subject not in self.seated.committee.urls


def compose(
    context: Context, rule: str, phase: Phase, episodes: Sequence[Episode], now: float
) -> Message:
    """Make the message about episodes of one rule and one condition."""
    condition = episodes[0].condition
    kind = f"{condition}.{phase}"
    title = f"[{context.committee_name}] {_title(context, condition, phase, episodes)}"
    text = "\n".join(_line(context, each, phase, now) for each in episodes)
    body: dict[str, Json] = {
        "type": kind,
        "timestamp": _iso(_moment(phase, episodes, now)),
        "data": {
            "network_id": context.network_id,
            "committee_id": context.committee_id,
            "committee_name": context.committee_name,
            "rule": rule,
            "title": title,
            "text": text,
            "incidents": [_incident(context, each, now) for each in episodes],
        },
    }
    id_ = message_id(context.network_id, rule, phase, episodes)
    return Message(id_, rule, kind, now, title, text, canonical(body).decode())


def message_id(network_id: str, rule: str, phase: Phase, episodes: Sequence[Episode]) -> str:
    """An id that follows from what is told, so that the same news has the same id after a crash."""
    told: list[Json] = [
        [each.subject, each.begun, each.begin_position, each.reminders]
        for each in sorted(episodes, key=lambda each: (each.subject, each.begun))
    ]
    news: list[Json] = [network_id, rule, str(episodes[0].condition), str(phase), told]
    return f"msg_{hashlib.sha256(canonical(news)).hexdigest()[:32]}"


def trial(committee_name: str, now: float) -> Message:
    """A message that only tries a route."""
    title = f"[{committee_name}] Test of an alert route"
    text = "This message was sent by `dragon alerts test`. Nothing has happened."
    body: dict[str, Json] = {
        "type": "test",
        "timestamp": _iso(int(now)),
        "data": {
            "network_id": None,
            "committee_id": None,
            "committee_name": committee_name,
            "rule": None,
            "title": title,
            "text": text,
            "incidents": [],
        },
    }
    id_ = f"msg_{hashlib.sha256(canonical([title, int(now)])).hexdigest()[:32]}"
    return Message(id_, "", "test", now, title, text, canonical(body).decode())


def _moment(phase: Phase, episodes: Sequence[Episode], now: float) -> int:
    """When the news happened (Unix seconds): a reminder is news of its own time."""
    if phase is Phase.REMINDER:
        return int(now)
    if phase is Phase.BEGUN:
        return max(each.begun for each in episodes)
    return max(each.ended or each.begun for each in episodes)


def _title(
    context: Context, condition: Condition, phase: Phase, episodes: Sequence[Episode]
) -> str:
    words = TITLES[condition]
    left = [context.has_left(each) for each in episodes]
    if any(left):
        words = "Left the committee" if all(left) else "Up again, or left the committee"
    elif condition is Condition.NODE_DOWN:
        words = {Phase.BEGUN: "Down", Phase.REMINDER: "Still down", Phase.RESOLVED: "Up again"}[
            phase
        ]
    elif phase is not Phase.BEGUN:
        words = f"{'Still' if phase is Phase.REMINDER else 'Resolved'}: {words}"
    if condition in _WITHOUT_SUBJECT:
        return words
    names = list(dict.fromkeys(each.subject for each in episodes))
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"{words}: {', '.join(names[:MAX_NAMES])}{more}"


def _line(context: Context, episode: Episode, phase: Phase, now: float) -> str:
    begun, lasted = utc(episode.begun), duration(_seconds(episode, now))
    if context.has_left(episode):
        line = (
            f"{episode.subject} has left the committee. {_before_it_left(episode, lasted, begun)}"
        )
    elif episode.condition is Condition.NODE_DOWN:
        if phase is Phase.RESOLVED:
            line = f"{episode.subject} is up again. It was down for {lasted}, since {begun}."
        elif phase is Phase.REMINDER:
            line = f"{episode.subject} is still down: for {lasted}, since {begun}."
        else:
            line = f"{episode.subject} is down since {begun}."
    elif episode.condition is Condition.FLAPPING and phase is Phase.RESOLVED:
        status = context.status_of(episode.subject)
        line = (
            f"The status of {episode.subject} is stable again: {status}. It flapped for {lasted}."
        )
    elif phase is Phase.BEGUN:
        line = episode.sentence
    else:
        word = "Lasted" if phase is Phase.RESOLVED else "It lasts for"
        line = f"{episode.sentence} {word} {lasted}, since {begun}."
    line += _maintenance(context, episode, phase, now)
    mark = "Certified." if episode.is_certified else "Reported by services, not certified."
    link = _link(context, episode)
    return f"{line} {mark}{f' {link}' if link else ''}"


def _maintenance(context: Context, episode: Episode, phase: Phase, now: float) -> str:
    """Return a sentence about announced maintenance, with a space before it; empty if none."""
    if phase is Phase.RESOLVED:
        seconds = context.holding.seconds(episode, now)
        return f" {duration(seconds)} of it was announced maintenance." if seconds else ""
    window = context.holding.window(episode, now)
    if window is None:
        return ""
    if window.end > now:
        return f" Maintenance is announced until {utc(window.end)}."
    return f" Its announced maintenance ended at {utc(window.end)}."


def _before_it_left(episode: Episode, lasted: str, begun: str) -> str:
    if episode.condition is Condition.NODE_DOWN:
        return f"It was down for {lasted}, since {begun}. Nobody certifies whether it is up."
    return f"Before: {episode.sentence} It lasted {lasted}, since {begun}."


def _link(context: Context, episode: Episode) -> str:
    if not context.explorer_url:
        return ""
    if episode.condition is Condition.NODE_DOWN and episode.begin_position != NO_POSITION:
        return f"{context.explorer_url}/incidents/{episode.begin_position}"
    if episode.condition in (Condition.FLAPPING, Condition.TARGET_CERTIFICATE):
        return f"{context.explorer_url}/nodes/{episode.subject}"
    if episode.condition in (Condition.COMMITTEE_CHANGED, Condition.MAINTENANCE_ANNOUNCED):
        return f"{context.explorer_url}/log/{episode.begin_position}"
    if episode.condition is Condition.APPROVAL_PENDING:
        return f"{context.explorer_url}/committee"
    return f"{context.explorer_url}/alerts"


def _incident(context: Context, episode: Episode, now: float) -> dict[str, Json]:
    return {
        "condition": str(episode.condition),
        "subject": episode.subject,
        "begun": episode.begun,
        "ended": episode.ended,
        "seconds": _seconds(episode, now),
        "seconds_maintenance": context.holding.seconds(episode, now),
        "sentence": episode.sentence,
        "certified": episode.is_certified,
        "position": _position(episode.begin_position),
        "event": _event(context, episode.begin_position),
        "end_position": _position(episode.end_position),
        "end_event": _event(context, episode.end_position),
        "url": _link(context, episode) or None,
    }


def _position(position: int) -> int | None:
    return None if position == NO_POSITION else position


def _event(context: Context, position: int) -> Json:
    found = None if position == NO_POSITION else context.event_at(position)
    return None if found is None else found.to_json()


def _seconds(episode: Episode, now: float) -> int:
    return max(0, (int(now) if episode.ended is None else episode.ended) - episode.begun)


def _iso(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
