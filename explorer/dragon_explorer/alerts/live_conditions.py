"""Live conditions become episodes after they have lasted, and end after they were absent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog

from dragon_explorer.alerts.conditions import OF_NODES, Condition
from dragon_explorer.alerts.config import Rule
from dragon_explorer.alerts.episodes import Episode, Episodes
from dragon_explorer.alerts.problems import Problem, Watch

LIVE_SECONDS: Final = 5.0  # between two looks at live conditions
GRACE_SECONDS: Final = 45.0  # after the start, until services have answered
CLEAR_SECONDS: Final = 30.0  # a live condition must be absent that long before it counts as ended
MAX_CLEAR_SECONDS: Final = 1800.0  # it doubles for each recent incident of the same subject
RECENT_SECONDS: Final = 3600
# Conditions that the log's events begin and end; every other one is looked at.
_BY_EVENTS: Final = {
    Condition.NODE_DOWN,
    Condition.WINDOW_INVALID,
    Condition.COMMITTEE_CHANGED,
    Condition.MAINTENANCE_ANNOUNCED,
}

logger = structlog.stdlib.get_logger(__name__)


class LiveConditions:
    """Compares what is wrong now with the episodes."""

    def __init__(self, watch: Watch, rules: Iterable[Rule], began: float) -> None:
        """Args: `began`, the start of the explorer in Unix seconds."""
        self._watch = watch
        self._rules = tuple(rules)
        self._began = began
        self._looked_at: float | None = None
        self._first_seen: dict[tuple[Condition, str], float] = {}
        self._last_seen: dict[tuple[Condition, str], float] = {}

    def is_due(self, now: float) -> bool:
        """Whether it is time for another look."""
        return self._looked_at is None or not 0 <= now - self._looked_at < LIVE_SECONDS

    def _note_time(self, now: float) -> None:
        """After a jump of the clock, begin as after a start: all answers seem old, or of later."""
        before, self._looked_at = self._looked_at, now
        if before is None or 0 <= now - before < GRACE_SECONDS:
            return
        self._began = now
        for times in (self._first_seen, self._last_seen):
            times.update({key: min(time, now) for key, time in times.items()})

    def look(self, episodes: Episodes, now: float) -> None:
        """Open and end episodes."""
        self._note_time(now)
        flapping = {
            each.subject
            for each in episodes.active
            if each.condition is Condition.FLAPPING and each.lasts
        }
        looked = {Condition.FLAPPING}
        problems = list(self._watch.flapping(int(now), flapping))
        unheard: set[tuple[Condition, str]] = set()
        if now - self._began >= GRACE_SECONDS:
            looked = set(Condition) - _BY_EVENTS
            problems += self._watch.live(int(now))
            unheard = self._watch.unheard()
        for problem in problems:
            key = (problem.condition, problem.subject)
            self._first_seen.setdefault(key, problem.since or now)
            self._last_seen[key] = now
            self._open(episodes, problem, now)
        for episode in episodes.active:
            is_known = (episode.condition, episode.subject) not in unheard
            if episode.lasts and episode.condition in looked and is_known:
                self._end_if_absent(episodes, episode, now)
        self._forget(now)

    def _open(self, episodes: Episodes, problem: Problem, now: float) -> None:
        """Open an episode for each rule whose patience is over."""
        condition, subject = problem.condition, problem.subject
        first = self._first_seen[condition, subject]
        for rule in self._rules:
            if condition not in rule.conditions or now - first < rule.after(condition):
                continue
            if condition in OF_NODES and not rule.selects(subject):
                continue
            if episodes.find(rule.name, condition, subject):
                continue
            sentence, position = problem.sentence, problem.position
            episode = Episode(rule.name, condition, subject, int(first), sentence, now, position)
            if not episodes.open(episode):
                logger.warning("alert_not_recorded", rule=rule.name, condition=str(condition))

    def _end_if_absent(self, episodes: Episodes, episode: Episode, now: float) -> None:
        seen = self._last_seen.get((episode.condition, episode.subject), self._began)
        pause = 0.0 if episode.is_certified else self._clear_seconds(episodes, episode, now)
        if now > seen and now - seen >= pause:
            episode.end(max(episode.begun, int(seen)), now)

    def _clear_seconds(self, episodes: Episodes, episode: Episode, now: float) -> float:
        """How long a condition must be absent: longer if the same thing happened recently."""
        before = episodes.recent(episode.key, int(now) - RECENT_SECONDS) - 1
        return float(min(CLEAR_SECONDS * 2 ** min(max(0, before), 10), MAX_CLEAR_SECONDS))

    def _forget(self, now: float) -> None:
        for key, seen in list(self._last_seen.items()):
            if now - seen >= CLEAR_SECONDS:
                self._first_seen.pop(key, None)
            if now - seen >= MAX_CLEAR_SECONDS:
                del self._last_seen[key]
