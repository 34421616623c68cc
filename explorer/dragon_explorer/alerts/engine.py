"""The engine: reads the log and live conditions, keeps episodes, and puts messages into the outbox.

Progress in the log, episodes and messages are written in one transaction. So a crash neither loses
an event nor makes a second message about it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import structlog

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol.claims.base import kind_of
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import Verdict, WindowClaim
from dragon.protocol.event import Event
from dragon.protocol.log_entry import LogEntry
from dragon.storage.database import Database
from dragon_explorer.alerts.conditions import OF_NODES, Condition
from dragon_explorer.alerts.config import AlertsConfig, Rule
from dragon_explorer.alerts.episodes import (
    Episode,
    Episodes,
    read_progress,
    write_progress,
)
from dragon_explorer.alerts.messages import Context
from dragon_explorer.alerts.outbox import Outbox
from dragon_explorer.alerts.problems import Problem, Watch
from dragon_explorer.alerts.telling import Teller
from dragon_explorer.sources import Sources

STEP_SECONDS: Final = 1.0  # between two steps without a new entry in the log
LIVE_SECONDS: Final = 5.0  # between two looks at live conditions
GRACE_SECONDS: Final = 45.0  # after the start, until services have answered
CLEAR_SECONDS: Final = 30.0  # a live condition must be absent that long before it counts as ended
MAX_CLEAR_SECONDS: Final = 1800.0  # it doubles for each recent incident of the same subject
RECENT_SECONDS: Final = 3600
ENTRIES_AT_ONCE: Final = 500
WARNING_SECONDS: Final = 60.0  # between two log lines about a failing engine

logger = structlog.stdlib.get_logger(__name__)


class Engine:
    """Turns what happens into messages. Only one thread may call `step`."""

    def __init__(
        self,
        *,
        sources: Sources,
        watch: Watch,
        config: AlertsConfig,
        database: Database,
        outbox: Outbox,
        wall: Callable[[], float],
    ) -> None:
        self._sources = sources
        self._watch = watch
        self._rules: Mapping[str, Rule] = {rule.name: rule for rule in config.rules}
        self._database = database
        self._wall = wall
        self._began = wall()
        self._live_at: float | None = None
        self._first_seen: dict[tuple[Condition, str], float] = {}
        self._last_seen: dict[tuple[Condition, str], float] = {}
        self._warned_at: float | None = None
        self._wake = threading.Event()
        self._teller = Teller(config, outbox, self._context(config))
        self.version = 0  # grows when an episode changes
        sources.follower.subscribe(lambda _: self._wake.set())

    def _context(self, config: AlertsConfig) -> Context:
        committee = self._sources.committee
        return Context(
            committee_id=to_hex(committee.id),
            committee_name=committee.name,
            explorer_url=config.explorer_url,
            event_at=self._event_at,
            status_of=self._status_of,
        )

    def run(self, stop: threading.Event) -> None:
        """Step until `stop` is set: at once when the log grows, else once a second."""
        while not stop.is_set():
            self._wake.clear()
            try:
                more = self.step()
            except (errors.DiskError, errors.LogDamaged) as error:
                more = False
                self._warn(error)
            if not more:
                self._wake.wait(STEP_SECONDS)

    def step(self) -> bool:
        """Read, compare, tell. Returns whether the log has further entries to read.

        Raises DiskError, LogDamaged: nothing was changed.
        """
        now = self._wall()
        with self._database.read() as connection:
            progress = read_progress(connection)
        if progress is None and not self._sources.follower.has_read_all:
            return False  # the first start: only what happens from now on is news
        size = self._sources.log.state.size
        entries: Sequence[LogEntry] = ()
        if progress is not None and progress < size:
            entries = self._sources.log.entries(progress - 1, ENTRIES_AT_ONCE)
        looks = bool(entries) or self._live_at is None or now - self._live_at >= LIVE_SECONDS
        with self._database.write() as connection:
            episodes = Episodes(connection)
            before = len(episodes.active)
            if progress is None:
                self._begin(episodes, now)
                write_progress(connection, size)
            elif entries or progress > size:
                for entry in entries:
                    self._apply(episodes, entry, now)
                write_progress(connection, progress + len(entries) if entries else size)
            if looks:
                self._look(episodes, now)
            if not self._is_catching_up(size, progress, entries):
                self._reconcile(episodes, now)
            self._teller.tell(connection, episodes, now, self._sources.follower.caught_up)
            if episodes.active or before:
                episodes.save()
        if looks:
            self._live_at = now
            self.version += 1
        return progress is not None and progress + len(entries) < size

    @staticmethod
    def _is_catching_up(size: int, progress: int | None, entries: Sequence[LogEntry]) -> bool:
        return progress is not None and progress + len(entries) < size

    def _begin(self, episodes: Episodes, now: float) -> None:
        """The first start: nodes that are down now are news."""
        for outage in self._sources.index.open_outages():
            entry = self._sources.log.entry(outage.position)
            self._apply(episodes, entry, now)

    def _apply(self, episodes: Episodes, entry: LogEntry, now: float) -> None:
        """Take one event of the log into account."""
        claim = entry.event.claim
        if isinstance(claim, StatusClaim):
            if claim.status is Status.DOWN:
                sentence = f"{kind_of(claim).sentence(claim)}."
                for rule in self._having(Condition.NODE_DOWN, claim.node_id):
                    episode = Episode(
                        rule.name,
                        Condition.NODE_DOWN,
                        claim.node_id,
                        claim.timestamp,
                        sentence,
                        now,
                        entry.position,
                    )
                    episodes.open(episode)
            else:
                for rule in self._having(Condition.NODE_DOWN, claim.node_id):
                    _end(
                        episodes.find(rule.name, Condition.NODE_DOWN, claim.node_id),
                        claim.timestamp,
                        now,
                        entry.position,
                    )
        elif isinstance(claim, WindowClaim) and claim.verdict is Verdict.INVALID:
            subject = f"{to_hex(claim.stream)}/{claim.number}"
            sentence = f"{kind_of(claim).sentence(claim)}."
            for rule in self._having(Condition.WINDOW_INVALID):
                episode = Episode(
                    rule.name,
                    Condition.WINDOW_INVALID,
                    subject,
                    claim.timestamp,
                    sentence,
                    now,
                    entry.position,
                )
                episode.ended, episode.ended_seen_at = claim.timestamp, now
                episodes.open(episode)

    def _having(self, condition: Condition, node_id: str | None = None) -> Iterator[Rule]:
        """The rules with a condition that select a node."""
        for rule in self._rules.values():
            if condition in rule.conditions and (node_id is None or rule.selects(node_id)):
                yield rule

    def _look(self, episodes: Episodes, now: float) -> None:
        """Compare live conditions with the episodes."""
        known = {
            each.subject
            for each in episodes.active
            if each.condition is Condition.FLAPPING and each.lasts
        }
        looked = {Condition.FLAPPING}
        problems = list(self._watch.flapping(int(now), known))
        if now - self._began >= GRACE_SECONDS:
            looked |= set(Condition) - {Condition.NODE_DOWN, Condition.WINDOW_INVALID}
            problems += self._watch.live(int(now))
        for problem in problems:
            key = (problem.condition, problem.subject)
            self._first_seen.setdefault(key, problem.since or now)
            self._last_seen[key] = now
            self._open_live(episodes, problem, now)
        self._end_live(episodes, looked, now)

    def _open_live(self, episodes: Episodes, problem: Problem, now: float) -> None:
        condition, subject = problem.condition, problem.subject
        first = self._first_seen[condition, subject]
        for rule in self._having(condition, subject if condition in OF_NODES else None):
            after = rule.after(condition)
            if now - first < after or episodes.find(rule.name, condition, subject):
                continue
            episode = Episode(
                rule.name, condition, subject, int(first), problem.sentence, now, problem.position
            )
            if not episodes.open(episode):
                logger.warning("alert_not_recorded", rule=rule.name, condition=str(condition))

    def _end_live(self, episodes: Episodes, looked: set[Condition], now: float) -> None:
        """End the episodes whose condition is absent for long enough."""
        for episode in episodes.active:
            if not episode.lasts or episode.condition not in looked:
                continue
            seen = self._last_seen.get((episode.condition, episode.subject), self._began)
            pause = 0.0 if episode.is_certified else self._clear_seconds(episodes, episode, now)
            if now > seen and now - seen >= pause:
                _end(episode, max(episode.begun, int(seen)), now)
        for key, seen in list(self._last_seen.items()):
            if now - seen >= CLEAR_SECONDS:
                self._first_seen.pop(key, None)
                if now - seen >= MAX_CLEAR_SECONDS:
                    del self._last_seen[key]

    def _clear_seconds(self, episodes: Episodes, episode: Episode, now: float) -> float:
        """How long a condition must be absent: longer if the same thing happened recently."""
        before = episodes.recent(episode.key, int(now) - RECENT_SECONDS)
        return float(min(CLEAR_SECONDS * 2 ** min(max(0, before - 1), 10), MAX_CLEAR_SECONDS))

    def _reconcile(self, episodes: Episodes, now: float) -> None:
        """Close what the log and the file do not know any more, such as after an archived log."""
        for episode in episodes.active:
            rule = self._rules.get(episode.rule)
            if rule is None or episode.condition not in rule.conditions:
                episode.ended, episode.closed = episode.ended or int(now), True
            elif episode.condition is Condition.NODE_DOWN and episode.lasts:
                last = self._sources.log.state.last(episode.subject)
                if last is None or last.status is Status.UP:
                    _end(episode, last.timestamp if last else int(now), now)

    def _event_at(self, position: int) -> Event | None:
        try:
            return self._sources.log.entry(position).event
        except errors.NotFound:
            return None

    def _status_of(self, node_id: str) -> str:
        last = self._sources.log.state.last(node_id)
        return str(last.status) if last else "unknown"

    def _warn(self, error: errors.DragonError) -> None:
        now = self._wall()
        if self._warned_at is None or now - self._warned_at >= WARNING_SECONDS:
            self._warned_at = now
            logger.warning("alerts_failed", detail=str(error))


def _end(episode: Episode | None, ended: int, now: float, position: int = -1) -> None:
    """Note the end of an episode."""
    if episode is not None:
        episode.ended, episode.ended_seen_at, episode.end_position = ended, now, position
