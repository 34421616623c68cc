"""Decides which episodes are told now, and groups them into messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from sqlalchemy import Connection

from dragon_explorer.alerts.conditions import FACTS, OF_STREAMS, Condition
from dragon_explorer.alerts.config import AlertsConfig, Rule
from dragon_explorer.alerts.episodes import Episode, Episodes
from dragon_explorer.alerts.holding import Holding
from dragon_explorer.alerts.messages import MAX_GROUP, Context, Phase, compose
from dragon_explorer.alerts.outbox import Outbox, created_since

GROUP_SECONDS: Final = 5.0  # for further incidents of the same round to arrive
MAX_HOLD_SECONDS: Final = 60.0  # while the log is read to its end: what began may have ended
# Of one rule about streams, and as many about everything else; further incidents come together.
MAX_MESSAGES_PER_HOUR: Final = 60
CROWDED_PAUSE_SECONDS: Final = 600.0  # between two messages of a rule beyond that number
MAX_REMIND_SECONDS: Final = 86_400  # between two reminders; their pauses double


@dataclass(frozen=True, slots=True)
class Group:
    """Episodes of one rule that are told in one message."""

    rule: str
    condition: Condition
    phase: Phase
    moment: int  # the round of events in the log; 0 if that does not matter


class Teller:
    """Makes messages of episodes. It keeps nothing; what was told is noted in the episodes."""

    def __init__(
        self, config: AlertsConfig, outbox: Outbox, context: Context, holding: Holding
    ) -> None:
        self._rules = {rule.name: rule for rule in config.rules}
        self._outbox = outbox
        self._context = context
        self._holding = holding

    def tell(self, connection: Connection, episodes: Episodes, now: float, caught_up: bool) -> None:
        """Put everything that is due into the outbox, and note it in the episodes."""
        flapping = {
            (each.rule, each.subject)
            for each in episodes.active
            if each.condition is Condition.FLAPPING and each.lasts
        }
        groups: dict[Group, list[Episode]] = defaultdict(list)
        is_crowded = cache(lambda rule, streams: self._is_crowded(connection, rule, streams, now))
        for episode in episodes.active:
            rule = self._rules.get(episode.rule)
            if rule is None or episode.closed:
                continue
            if _is_muted(episode, flapping) or self.is_held(episode, now):
                episode.closed = not episode.lasts
            elif phase := _phase(episode, rule, now):
                crowded = is_crowded(rule.name, episode.condition in OF_STREAMS)
                groups[_group(episode, phase, crowded)].append(episode)
            elif not episode.lasts:
                episode.closed = True
        for group, members in groups.items():
            if self._is_due(connection, group, members, now, caught_up):
                for first in range(0, len(members), MAX_GROUP):
                    self._send(connection, group, members[first : first + MAX_GROUP], now)

    def is_held(self, episode: Episode, now: float) -> bool:
        """Whether nothing is told about an incident because of announced maintenance."""
        rule = self._rules.get(episode.rule)
        holds = rule is not None and rule.hold_during_maintenance
        return holds and self._holding.is_held(episode, now)

    def _is_crowded(self, connection: Connection, rule: str, streams: bool, now: float) -> bool:
        return len(_last_hour(connection, rule, streams, now)) >= MAX_MESSAGES_PER_HOUR

    def _is_due(
        self,
        connection: Connection,
        group: Group,
        members: Sequence[Episode],
        now: float,
        caught_up: bool,
    ) -> bool:
        if group.phase is Phase.REMINDER:
            return True
        waited = now - min(_noticed(each, group.phase) for each in members)
        # Of what the log does not begin and end, reading it on tells nothing.
        may_end = not caught_up and FACTS[group.condition].certified
        # A negative wait: the clock was set back.
        if 0 <= waited < (MAX_HOLD_SECONDS if may_end else GROUP_SECONDS):
            return False
        times = _last_hour(connection, group.rule, group.condition in OF_STREAMS, now)
        return len(times) < MAX_MESSAGES_PER_HOUR or now - times[-1] >= CROWDED_PAUSE_SECONDS

    def _send(
        self, connection: Connection, group: Group, members: Sequence[Episode], now: float
    ) -> None:
        rule = self._rules[group.rule]
        if group.phase is Phase.REMINDER:
            for each in members:
                each.reminders += 1
        message = compose(self._context, rule.name, group.phase, members, now)
        self._outbox.add(connection, message, rule.routes)
        for each in members:
            each.announced = True
            each.closed = not each.lasts
            each.remind_at = _next_reminder(each, rule, now)


def _last_hour(connection: Connection, rule: str, streams: bool, now: float) -> list[float]:
    """When the messages of a rule about streams, or about everything else, were made."""
    return [
        created
        for created, kind in created_since(connection, rule, now - 3600)
        if created <= now and (kind.partition(".")[0] in OF_STREAMS) is streams
    ]


def _phase(episode: Episode, rule: Rule, now: float) -> Phase | None:
    """What is to be told about an episode; None for nothing."""
    if not episode.announced:
        missed = not episode.lasts and FACTS[episode.condition].has_end
        return Phase.RESOLVED if missed else Phase.BEGUN
    if not episode.lasts:
        return Phase.RESOLVED if rule.resolved else None
    if episode.remind_at is not None and episode.remind_at <= now:
        return Phase.REMINDER
    return None


def _group(episode: Episode, phase: Phase, crowded: bool) -> Group:
    """The message that an episode belongs to: by round for nodes, else all of a rule together.

    What ended before it was told, such as while the explorer did not run, comes together too.
    """
    moment = 0
    if episode.condition is Condition.NODE_DOWN and phase is not Phase.REMINDER and not crowded:
        if phase is Phase.BEGUN:
            moment = episode.begun
        elif episode.announced:
            moment = episode.ended or 0
    return Group(episode.rule, episode.condition, phase, moment)


def _noticed(episode: Episode, phase: Phase) -> float:
    if phase is Phase.RESOLVED and episode.ended_seen_at is not None:
        return episode.ended_seen_at
    return episode.seen_at


def _is_muted(episode: Episode, flapping: set[tuple[str, str]]) -> bool:
    """Whether the node flaps, so that its single outages are not told."""
    return episode.condition is Condition.NODE_DOWN and (episode.rule, episode.subject) in flapping


def _next_reminder(episode: Episode, rule: Rule, now: float) -> float | None:
    if rule.remind_seconds is None or not episode.lasts:
        return None
    pause: int = rule.remind_seconds * 2 ** min(episode.reminders, 16)
    return now + min(pause, max(MAX_REMIND_SECONDS, rule.remind_seconds))
