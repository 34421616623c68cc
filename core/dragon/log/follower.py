"""Following the ledger: poll, take, and stop with an alarm where history was rewritten."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from dragon import errors
from dragon.log.ledger import Ledger, Position, ProvenBatch
from dragon.log.store import Log
from dragon.protocol.log_entry import LogEntry

logger = structlog.stdlib.get_logger(__name__)

PAUSE: Final = 0.2  # seconds between polls that bring nothing
PAUSE_AFTER_ERROR: Final = 1.0
TOGETHER: Final = 100  # batches in one transaction, so that a flood of small ones is read quickly
COMPLAIN_EVERY: Final = 60.0  # seconds
LAG: Final = 5.0  # seconds for which a log that was read to the ledger's end counts as caught up
REWRITTEN: Final = "ledger_rewritten"
DIVERGED: Final = "diverged"


class Follower:
    """Keeps one log up with the ledger. Owns the only thread that takes batches.

    The clocks are used only to tell how long ago the ledger was read to its end: `monotonic` in
    seconds, `wall` in Unix seconds.
    """

    def __init__(
        self,
        log: Log,
        ledger: Ledger,
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._log = log
        self._ledger = ledger
        self._monotonic = monotonic
        self._wall = wall
        self._read_all_at: float | None = None
        self._trouble = ""
        self._complained_at: float | None = None

    @property
    def has_read_all(self) -> bool:
        """Whether the ledger was read to its end once since the start."""
        return self._read_all_at is not None

    @property
    def caught_up(self) -> bool:
        """Whether the ledger was read to its end within the last seconds."""
        at = self._read_all_at
        return at is not None and self._monotonic() - at <= LAG

    @property
    def silent_seconds(self) -> float:
        """Since the ledger was last read to its end; infinite before the first time."""
        at = self._read_all_at
        return float("inf") if at is None else self._monotonic() - at

    @property
    def trouble(self) -> str:
        """Why the ledger could not be read the last time, if so."""
        return self._trouble

    def step(self) -> list[LogEntry]:
        """Read one page and take its batches. Returns the entries that were added.

        Raises LedgerUnavailable. A rewritten history is not raised but becomes the log's alarm.
        """
        return self._take(self._read())

    def catch_up(self) -> None:
        """Read until the ledger has nothing more, or an alarm stands. Raises LedgerUnavailable."""
        while batches := self._read():
            self._take(batches)

    def _take(self, batches: Sequence[ProvenBatch]) -> list[LogEntry]:
        """In transactions of bounded length: others wait for the writer's lock."""
        entries: list[LogEntry] = []
        for start in range(0, len(batches), TOGETHER):
            together = batches[start : start + TOGETHER]
            try:
                entries += self._log.take(*together)
            except errors.Diverged:
                return entries + self._take_up_to_divergence(together)
        return entries

    def _take_up_to_divergence(self, batches: Sequence[ProvenBatch]) -> list[LogEntry]:
        entries: list[LogEntry] = []
        for batch in batches:
            try:
                entries += self._log.take(batch)
            except errors.Diverged as error:
                self._log.raise_alarm(DIVERGED, str(error))
                logger.error("alarm_raised", reason=DIVERGED, detail=str(error))
                break
        return entries

    def _read(self) -> Sequence[ProvenBatch]:
        if self._log.alarm():
            return []
        try:
            batches = self._ledger.poll(self._log.position)
        except errors.LedgerContradiction as error:
            self._raise_alarm(error)
            return []
        except errors.LedgerUnavailable as error:
            self._trouble = str(error)
            raise
        self._trouble, self._complained_at = "", None
        # On a busy ledger there is always one more batch: what was final just now is the end, too.
        if not batches or batches[-1].time >= self._wall() - LAG:
            self._read_all_at = self._monotonic()
        return batches

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set; an outage of the ledger is waited out."""
        while not stop.is_set():
            pause = PAUSE
            try:
                for entry in self.step():
                    _note(entry)
                    pause = 0.0
            except errors.LedgerUnavailable as error:
                self._complain(str(error))
                pause = PAUSE_AFTER_ERROR
            stop.wait(pause)

    def _complain(self, detail: str) -> None:
        """Once when it begins, and once a minute while it lasts."""
        now = self._monotonic()
        if self._complained_at is None or now - self._complained_at >= COMPLAIN_EVERY:
            self._complained_at = now
            logger.warning("ledger_unavailable", detail=detail)

    def _raise_alarm(self, error: errors.LedgerContradiction) -> None:
        detail = f"{error}; {self._first_difference()}"
        self._log.raise_alarm(REWRITTEN, detail)
        logger.error("alarm_raised", reason=REWRITTEN, detail=detail)

    def _first_difference(self) -> str:
        """Reads the ledger again from genesis, to name the first entry that it contradicts.

        For people only: whatever goes wrong here, the alarm is raised all the same.
        """
        position, after = Position(), -1
        chain: dict[int, str] = {}
        while page := self._log.entries(after):
            for entry in page:
                try:
                    position = self._read_on(position, entry.ledger_index, chain)
                except errors.LedgerError as trouble:
                    return f"the first differing entry is not known ({trouble})"
                if entry.chaining_hash and chain.get(entry.ledger_index) != entry.chaining_hash:
                    return f"entry {entry.position} is the first that the ledger contradicts"
            after = page[-1].position
        return "no entry is contradicted, only what lies behind the last one"

    def _read_on(self, position: Position, index: int, chain: dict[int, str]) -> Position:
        """Read until batch `index` is known or the ledger ends, keeping chain values in `chain`."""
        while position.index < index:
            chain.clear()
            batches = self._ledger.poll(position)
            if not batches:
                return position
            chain.update((batch.index, batch.position.chaining_hash) for batch in batches)
            position = batches[-1].position
        return position


def _note(entry: LogEntry) -> None:
    claim = entry.event.claim
    logger.info("event_applied", position=entry.position, claim=claim.to_json())
