"""Which incidents a rule holds back because maintenance of their node is announced.

An incident that lasts is held back until two rounds after the maintenance: so late the log may
still learn that the node was up at its end. An incident that began and ended in announced time is
never told. The end of an incident that was told is told at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dragon.protocol.committee import Seated
from dragon_explorer.alerts.conditions import HELD_BACK, Condition
from dragon_explorer.alerts.episodes import Episode
from dragon_explorer.maintenance import Maintenance, Window

LATE_ROUNDS: Final = 2  # in which the log may still learn that a node was up


@dataclass(frozen=True, slots=True)
class Holding:
    """Announced maintenance, as alerts see it."""

    maintenance: Maintenance
    seated: Seated  # knows the committee that holds
    last_change: Callable[[str], int | None]  # of a node's status, in Unix seconds

    def is_held(self, episode: Episode, now: float) -> bool:
        """Whether nothing is told about an incident now."""
        if episode.condition not in HELD_BACK or (episode.announced and not episode.lasts):
            return False
        if episode.condition is Condition.FLAPPING:
            # It lasts for half an hour after the last change, which may exceed the maintenance.
            changed = self.last_change(episode.subject)
            return changed is not None and self._is_announced(episode.subject, changed)
        if episode.lasts:
            late = LATE_ROUNDS * self.seated.committee.rounds.seconds
            return bool(self.maintenance.between(episode.subject, now - late, now))
        return self._was_announced(episode)

    def window(self, episode: Episode, now: float) -> Window | None:
        """Return the maintenance that runs, or the last one since the incident began."""
        if episode.condition not in HELD_BACK:
            return None
        running = self.maintenance.at(episode.subject, now)
        if running is not None or not episode.lasts:
            return running if episode.lasts else None
        found = self.maintenance.between(episode.subject, episode.begun, now)
        return max(found, key=lambda each: each.end, default=None)

    def seconds(self, episode: Episode, now: float) -> int:
        """Return how many seconds of an incident lie in announced maintenance."""
        if episode.condition not in HELD_BACK:
            return 0
        end = int(now) if episode.ended is None else episode.ended
        return self.maintenance.seconds(episode.subject, episode.begun, end)

    def _is_announced(self, node_id: str, time: int) -> bool:
        """Whether a round that begins at a time has a second in announced maintenance."""
        length = self.seated.committee.rounds.seconds
        return bool(self.maintenance.between(node_id, time, time + length))

    def _was_announced(self, episode: Episode) -> bool:
        """Whether an incident that has ended lies in announced time.

        The first round of an outage may begin before the maintenance.
        """
        node_id, ended = episode.subject, episode.ended or episode.begun
        begin = episode.begun + self.seated.committee.rounds.seconds
        if ended <= begin:
            return self._is_announced(node_id, episode.begun)
        return self.maintenance.seconds(node_id, begin, ended) == ended - begin
