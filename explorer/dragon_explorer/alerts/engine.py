"""The engine: reads the log and live conditions, keeps episodes, and puts messages into the outbox.

Progress in the log, episodes and messages are written in one transaction. So a crash neither loses
an event nor makes a second message about it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Final

import structlog

from dragon import errors
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.event import Event
from dragon.protocol.log_entry import LogEntry
from dragon.storage.database import Database
from dragon_explorer.alerts import certified
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.alerts.config import AlertsConfig, Rule
from dragon_explorer.alerts.episodes import Episode, Episodes, read_progress, write_progress
from dragon_explorer.alerts.holding import Holding
from dragon_explorer.alerts.live_conditions import LiveConditions
from dragon_explorer.alerts.messages import Context
from dragon_explorer.alerts.outbox import Outbox
from dragon_explorer.alerts.problems import Watch
from dragon_explorer.alerts.telling import Teller
from dragon_explorer.sources import Sources

STEP_SECONDS: Final = 1.0  # between two steps without a new entry in the log
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
        self._rules: Mapping[str, Rule] = {rule.name: rule for rule in config.rules}
        self._database = database
        self._wall = wall
        self._live = LiveConditions(watch, config.rules, wall())
        holding = Holding(sources.maintenance, sources.log, self._last_change)
        self._teller = Teller(config, outbox, self._context(config, holding), holding)
        self._warned_at: float | None = None
        self.fault = ""  # why the last step failed; empty if it did not
        self._wake = threading.Event()
        sources.follower.subscribe(lambda _: self._wake.set())

    def _context(self, config: AlertsConfig, holding: Holding) -> Context:
        return Context(
            seated=self._sources.log,
            explorer_url=config.explorer_url,
            event_at=self._event_at,
            status_of=self._status_of,
            holding=holding,
        )

    def run(self, stop: threading.Event) -> None:
        """Step until `stop` is set: at once when the log grows, else once a second."""
        while not stop.is_set():
            self._wake.clear()
            try:
                has_more = self.step()
                self.fault = ""
            except (errors.DiskError, errors.LogDamaged) as error:
                has_more = False
                self._warn(error)
            if not has_more:
                self._wake.wait(STEP_SECONDS)

    def is_held(self, episode: Episode) -> bool:
        """Whether nothing is told about an incident because of announced maintenance."""
        return self._teller.is_held(episode, self._wall())

    def step(self) -> bool:
        """Read, compare, tell. Returns whether the log has further entries to read.

        Raises DiskError, LogDamaged: nothing was changed.
        """
        now, size = self._wall(), self._sources.log.state.size
        with self._database.read() as connection:
            progress = read_progress(connection)
        is_complete = self._sources.follower.has_read_all
        entries = self._read(progress, size) if progress is not None or is_complete else ()
        read = self._progress(progress, size, len(entries))
        with self._database.write() as connection:
            episodes = Episodes(connection)
            for entry in entries:
                certified.apply(episodes, entry, list(self._rules.values()), self._listed, now)
            if read is not None and read != progress:
                write_progress(connection, read)
            if entries or self._live.is_due(now):
                self._live.look(episodes, now)
            if read == size and is_complete:
                self._reconcile(episodes, now)
            self._teller.tell(connection, episodes, now, self._sources.follower.caught_up)
            episodes.save()
        return read is not None and read < size

    def _progress(self, progress: int | None, size: int, count: int) -> int | None:
        """How many entries are read now, after reading `count`; None at the first start.

        Only what happens from the first start on is news, so the log is first read to its end. The
        same holds for a log that was lost and is read from the ledger again.
        """
        is_complete = self._sources.follower.has_read_all
        if progress is None:
            return size if is_complete else None
        if progress > size:
            return size if is_complete else progress
        return progress + count

    def _read(self, progress: int | None, size: int) -> Sequence[LogEntry]:
        """The next entries of the log; at the first start those by which nodes are down now."""
        log = self._sources.log
        if progress is None:
            return [log.entry(each.position) for each in self._sources.index.open_outages()]
        return log.entries(progress - 1, ENTRIES_AT_ONCE) if progress < size else ()

    def _reconcile(self, episodes: Episodes, now: float) -> None:
        """Close what file and log do not know any more, such as a node of a former committee."""
        for episode in episodes.active:
            rule = self._rules.get(episode.rule)
            if rule is None or episode.condition not in rule.conditions:
                episode.ended, episode.closed = episode.ended or int(now), True
            elif episode.condition is Condition.NODE_DOWN and episode.lasts:
                last = self._sources.log.state.last(episode.subject)
                if last is None:  # nothing says that it is up
                    episode.ended, episode.closed = int(now), True
                elif last.status is None:  # it has left
                    episode.end(last.timestamp, now, last.position)
                elif last.status is Status.UP:
                    episode.end(last.timestamp, now)

    def _listed(self, claim: HandoverClaim) -> Container[str]:
        """The nodes that a committee lists, which has its seat."""
        return self._sources.epochs.committee(claim.next).urls

    def _event_at(self, position: int) -> Event | None:
        try:
            return self._sources.log.entry(position).event
        except errors.NotFound:
            return None

    def _status_of(self, node_id: str) -> str:
        last = self._sources.log.state.last(node_id)
        return str(last.status) if last and last.status else "unknown"

    def _last_change(self, node_id: str) -> int | None:
        last = self._sources.log.state.last(node_id)
        return last.timestamp if last else None

    def _warn(self, error: errors.DragonError) -> None:
        now, self.fault = self._wall(), str(error)
        if self._warned_at is None or abs(now - self._warned_at) >= WARNING_SECONDS:
            self._warned_at = now
            logger.warning("alerts_failed", detail=str(error))
