"""Following the ledger: poll it, apply its batches, and raise an alarm if it was rewritten."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import structlog

from dragon import errors
from dragon.log.ledger import Ledger, Position, ProvenBatch
from dragon.log.store import Log
from dragon.protocol.log_entry import LogEntry

logger = structlog.stdlib.get_logger(__name__)

POLL_PAUSE_SECONDS: Final = 0.2  # after a poll without new entries
ERROR_PAUSE_SECONDS: Final = 1.0  # after a failed poll
BATCHES_PER_TRANSACTION: Final = 100  # batches applied together
WARNING_INTERVAL_SECONDS: Final = 60.0  # between log messages about one outage
CAUGHT_UP_SECONDS: Final = 5.0  # how long a log counts as caught up after the ledger's end was read
REWRITTEN: Final = "ledger_rewritten"
DIVERGED: Final = "diverged"

Listener: TypeAlias = Callable[[Sequence[LogEntry]], None]


class Follower:
    """Keeps one log up to date with the ledger. Its thread is the only one that applies batches.

    Args:
        monotonic: clock in seconds.
        wall: clock in Unix seconds. Both clocks only measure how long ago the end of the ledger
            was read; no rule of the log uses them.
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
        self._last_error = ""
        self._warned_at: float | None = None
        self._listeners: tuple[Listener, ...] = (_log_applied,)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with the entries of each transaction after it has committed.

        It runs on the thread that applies batches, so it must return quickly. Its exceptions are
        logged and otherwise ignored. It is not called for entries that a log begins with
        (`Log.begin_at`) or that are read from the file.

        Returns a function that ends the subscription.
        """
        self._listeners += (listener,)

        def unsubscribe() -> None:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

        return unsubscribe

    @property
    def has_read_all(self) -> bool:
        """Whether the ledger was read to its end at least once since the start."""
        return self._read_all_at is not None

    @property
    def caught_up(self) -> bool:
        """Whether the ledger was read to its end within the last `CAUGHT_UP_SECONDS`."""
        at = self._read_all_at
        return at is not None and self._monotonic() - at <= CAUGHT_UP_SECONDS

    @property
    def silent_seconds(self) -> float:
        """Seconds since the ledger was last read to its end; infinite before the first time."""
        at = self._read_all_at
        return float("inf") if at is None else self._monotonic() - at

    @property
    def last_error(self) -> str:
        """Why the last poll failed; empty if it succeeded."""
        return self._last_error

    def step(self) -> list[LogEntry]:
        """Read one page and apply its batches. Returns the entries that were added.

        If the history was rewritten, raises the log's alarm, but no exception.

        Raises LedgerUnavailable.
        """
        return self._apply(self._read())

    def catch_up(self) -> None:
        """Read until the end of the ledger, or until an alarm. Raises LedgerUnavailable."""
        while batches := self._read():
            self._apply(batches)

    def _apply(self, batches: Sequence[ProvenBatch]) -> list[LogEntry]:
        """Apply batches in transactions of bounded length: other writers wait for the lock."""
        entries: list[LogEntry] = []
        for start in range(0, len(batches), BATCHES_PER_TRANSACTION):
            together = batches[start : start + BATCHES_PER_TRANSACTION]
            try:
                entries += self._publish(self._log.take(*together))
            except errors.Diverged:
                return entries + self._apply_up_to_divergence(together)
        return entries

    def _apply_up_to_divergence(self, batches: Sequence[ProvenBatch]) -> list[LogEntry]:
        entries: list[LogEntry] = []
        for batch in batches:
            try:
                entries += self._publish(self._log.take(batch))
            except errors.Diverged as error:
                self._log.raise_alarm(DIVERGED, str(error))
                logger.error("alarm_raised", reason=DIVERGED, detail=str(error))
                break
        return entries

    def _publish(self, entries: list[LogEntry]) -> list[LogEntry]:
        if entries:
            for listener in self._listeners:
                try:
                    listener(entries)
                except Exception:
                    logger.exception("listener_failed")
        return entries

    def _read(self) -> Sequence[ProvenBatch]:
        if self._log.alarm():
            return []
        try:
            batches = self._ledger.poll(self._log.position, self._log.position_before)
        except errors.LedgerContradiction as error:
            self._raise_alarm(error)
            return []
        except errors.LedgerUnavailable as error:
            self._last_error = str(error)
            raise
        self._last_error, self._warned_at = "", None
        # A busy ledger always has another batch, so a batch that became final just now counts too.
        if not batches or batches[-1].time >= self._wall() - CAUGHT_UP_SECONDS:
            self._read_all_at = self._monotonic()
        return batches

    def run(self, stop: threading.Event) -> None:
        """Follow the ledger until `stop` is set. During an outage of the ledger, keep trying."""
        while not stop.is_set():
            pause = POLL_PAUSE_SECONDS
            try:
                if self.step():
                    pause = 0.0
            except errors.LedgerUnavailable as error:
                self._warn(str(error))
                pause = ERROR_PAUSE_SECONDS
            stop.wait(pause)

    def _warn(self, detail: str) -> None:
        """Log an outage of the ledger when it begins, and then once a minute."""
        now = self._monotonic()
        if self._warned_at is None or now - self._warned_at >= WARNING_INTERVAL_SECONDS:
            self._warned_at = now
            logger.warning("ledger_unavailable", detail=detail)

    def _raise_alarm(self, error: errors.LedgerContradiction) -> None:
        detail = f"{error}; {self._first_difference()}"
        self._log.raise_alarm(REWRITTEN, detail)
        logger.error("alarm_raised", reason=REWRITTEN, detail=detail)

    def _first_difference(self) -> str:
        """Read the ledger again from genesis, and describe the first entry that it contradicts.

        The result is for people only: the alarm is raised even if this fails.
        """
        position, after = Position(), -1
        chain: dict[int, str] = {}
        while page := self._log.entries(after):
            for entry in page:
                try:
                    position = self._read_on(position, entry.ledger_index, chain)
                except errors.LedgerError as failure:
                    return f"the first contradicted entry is unknown ({failure})"
                if entry.chaining_hash and chain.get(entry.ledger_index) != entry.chaining_hash:
                    return f"entry {entry.position} is the first that the ledger contradicts"
            after = page[-1].position
        return "no entry is contradicted, only batches after the last entry"

    def _read_on(self, position: Position, index: int, chain: dict[int, str]) -> Position:
        """Read up to batch `index` or the end of the ledger; store chaining hashes in `chain`."""
        while position.index < index:
            chain.clear()
            batches = self._ledger.poll(position)
            if not batches:
                return position
            chain.update((batch.index, batch.position.chaining_hash) for batch in batches)
            position = batches[-1].position
        return position


def _log_applied(entries: Sequence[LogEntry]) -> None:
    for entry in entries:
        claim = entry.event.claim.to_json()
        logger.info("event_applied", position=entry.position, claim=claim)
