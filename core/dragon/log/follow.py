"""Following the ledger: poll, take, and stop with an alarm where history was rewritten."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from dragon import errors
from dragon.log.ledger import Ledger, Position
from dragon.log.repository import Entry, Log

logger = logging.getLogger(__name__)

PAUSE: Final = 0.2  # seconds between polls that bring nothing
PAUSE_AFTER_ERROR: Final = 1.0
REWRITTEN: Final = "ledger_rewritten"


class Follower:
    """Keeps one log up with the ledger. Owns the only thread that takes batches.

    `monotonic` gives seconds and is used only to say how long ago the ledger last answered.
    """

    def __init__(self, log: Log, ledger: Ledger, monotonic: Callable[[], float]) -> None:
        self._log = log
        self._ledger = ledger
        self._monotonic = monotonic
        self._answered_at: float | None = None
        self._caught_up = False
        self._has_read_all = False

    @property
    def has_read_all(self) -> bool:
        """Whether the ledger was read to its end once since the start."""
        return self._has_read_all

    @property
    def caught_up(self) -> bool:
        """Whether the ledger has been read to its end since the start, and still answers."""
        return self._caught_up

    @property
    def silent_for(self) -> float | None:
        """Seconds since the ledger last answered; None if it never did."""
        if self._answered_at is None:
            return None
        return self._monotonic() - self._answered_at

    def step(self) -> list[Entry]:
        """Read one page and take its batches. Returns the entries that were added.

        Raises LedgerUnavailable. A rewritten history is not raised but becomes the log's alarm.
        """
        if self._log.alarm():
            return []
        try:
            batches = self._ledger.poll(self._log.position)
        except errors.LedgerContradiction as error:
            self._raise_alarm(error)
            return []
        except errors.LedgerUnavailable:
            self._caught_up = False
            raise
        self._answered_at = self._monotonic()
        self._caught_up = not batches
        self._has_read_all |= self._caught_up
        return [entry for batch in batches for entry in self._log.take(batch)]

    def catch_up(self) -> None:
        """Step until the ledger has nothing more. Raises LedgerUnavailable."""
        while not self._log.alarm():
            self.step()
            if self._caught_up:
                return

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set; an outage of the ledger is waited out."""
        while not stop.is_set():
            pause = PAUSE
            try:
                applied = self.step()
            except errors.LedgerUnavailable as error:
                logger.warning("ledger_unavailable detail=%s", error)
                pause = PAUSE_AFTER_ERROR
            else:
                for entry in applied:
                    claim = entry.event.claim
                    logger.info(
                        "event_applied position=%d node_id=%s status=%s timestamp=%d",
                        entry.position,
                        claim.node_id,
                        claim.status,
                        claim.timestamp,
                    )
            if self._caught_up or pause > PAUSE or self._log.alarm():
                stop.wait(pause)

    def _raise_alarm(self, error: errors.LedgerContradiction) -> None:
        detail = f"{error}; {self._first_difference()}"
        self._log.raise_alarm(REWRITTEN, detail)
        logger.error("alarm_raised reason=%s detail=%s", REWRITTEN, detail)

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
                if chain.get(entry.ledger_index) != entry.chaining_hash:
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
