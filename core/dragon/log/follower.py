"""Following the ledger: poll it, apply its batches, and raise an alarm if it was rewritten."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

import structlog

from dragon import errors
from dragon.encoding import from_hex, to_hex
from dragon.log.ledger import IndexedLedger, Ledger, Position, ProvenBatch
from dragon.log.store import DIVERGED, Log
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.committee import Committee
from dragon.protocol.log_entry import LogEntry

logger = structlog.stdlib.get_logger(__name__)

POLL_PAUSE_SECONDS: Final = 0.2  # after a short page without new entries
# After a page with new entries that ends where the ledger does. Under load there is always another
# entry soon, and each page costs a request, a transaction and the verification of a finality proof,
# in plain integers: with this pause, one page has several entries. The first entry after a longer
# silence is not delayed.
GATHER_PAUSE_SECONDS: Final = 0.5
ERROR_PAUSE_SECONDS: Final = 1.0  # after a failed poll
# Batches applied together. Anyone may fill them with forged signatures, which takes about 0.1 s.
# After each transaction the follower looks at `stop` and reports its progress.
BATCHES_PER_TRANSACTION: Final = 32
# Batches shorter than any event are cheap, and the network has no limit on the number of empty
# ones: together with others they would make a million transactions.
SHORT_BATCH_CHARS: Final = 256
SHORT_BATCHES_PER_TRANSACTION: Final = 2048
# Between two questions for the ledger's length, while it always has another page. Each costs a
# request, and the verification of a proof if there is a newer batch than the page has. Shorter than
# `CAUGHT_UP_SECONDS`.
LENGTH_INTERVAL_SECONDS: Final = 2.0
WARNING_INTERVAL_SECONDS: Final = 60.0  # between log messages about one outage
CAUGHT_UP_SECONDS: Final = 5.0  # how long a log counts as caught up after the ledger's end was read
# Limit of the search for the first entry that a rewritten ledger contradicts. The alarm waits for
# the search, and the length of the rewritten ledger is the attacker's choice.
SEARCH_SECONDS: Final = 30.0
REWRITTEN: Final = "ledger_rewritten"

Listener: TypeAlias = Callable[[Sequence[LogEntry]], None]


class Follower:
    """Keeps one log up to date with the ledger. Its thread is the only one that applies batches.

    Args:
        monotonic: clock in seconds. It only measures how long ago the end of the ledger was read;
            no rule of the log uses it.
        files: finds the file of a committee by its id, when a handover names one that the log does
            not have. Until it is found, the log waits.
        gather_seconds: pause for which new entries are gathered at the end of a busy ledger.
    """

    def __init__(
        self,
        log: Log,
        ledger: Ledger,
        *,
        monotonic: Callable[[], float],
        files: Callable[[bytes], Committee | None] = lambda _: None,
        gather_seconds: float = GATHER_PAUSE_SECONDS,
    ) -> None:
        self._log = log
        self._gather_seconds = gather_seconds
        self._files = files
        self._missing: bytes | None = None  # id of the committee whose file the log waits for
        self._ledger = ledger
        self._monotonic = monotonic
        self._read_all_at: float | None = None
        self._caught_up_at = monotonic()  # when the log last became up to date
        self._has_more = False  # whether the last page was long, so that another one is likely
        self._pages_since_end = 0
        self._newest = 0  # largest index that the ledger is known to have
        self._asked_at: float | None = None  # when its length was last asked
        self._end: tuple[float, int] | None = None  # when it was asked, and the answer
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
    def caught_up_seconds(self) -> float:
        """Seconds for which the log has been caught up without interruption; 0 if it is not."""
        return self._monotonic() - self._caught_up_at if self.caught_up else 0.0

    @property
    def silent_seconds(self) -> float:
        """Seconds since the ledger was last read to its end; infinite before the first time."""
        at = self._read_all_at
        return float("inf") if at is None else self._monotonic() - at

    @property
    def behind(self) -> int:
        """Number of batches that the ledger is known to have and the log has not applied."""
        return max(0, self._newest - self._log.position.index)

    @property
    def missing_document(self) -> bytes | None:
        """The id of the committee whose file the log waits for; None if it does not wait."""
        return self._missing

    @property
    def last_error(self) -> str:
        """Why the last poll failed; empty if it succeeded."""
        return self._last_error

    def step(self, stop: threading.Event | None = None) -> list[LogEntry]:
        """Read one page and apply its batches. Returns the entries that were added.

        If the history was rewritten, raises the log's alarm, but no exception.

        Args:
            stop: ends the step between two transactions. The rest of the page is read again later.

        Raises LedgerUnavailable.
        """
        return self._apply(self._read(), stop)

    def catch_up(self) -> None:
        """Read until the end of the ledger, an alarm or a committee file that is not at hand.

        Raises LedgerUnavailable.
        """
        while batches := self._read():
            self._apply(batches)
            if self._missing is not None:
                return

    def _apply(
        self, batches: Sequence[ProvenBatch], stop: threading.Event | None = None
    ) -> list[LogEntry]:
        """Apply batches in transactions of bounded length."""
        entries: list[LogEntry] = []
        for together in _transactions(batches):
            if stop is not None and stop.is_set():
                break
            try:
                entries += self._publish(self._log.take(*together))
                self._missing = None  # another thread may have offered the file meanwhile
            except (errors.Diverged, errors.DocumentMissing):
                entries += self._apply_singly(together)
                if self._log.alarm() or self._missing is not None:
                    break
            self._note_end()
            if not self._log.alarm() and self._log.position.index < together[-1].index:
                break  # the rest was proven by the rule of a committee that has handed over
        return entries

    def _apply_singly(self, batches: Sequence[ProvenBatch]) -> list[LogEntry]:
        """Apply batches up to one that diverges, or that needs a file which is not at hand."""
        entries: list[LogEntry] = []
        for batch in batches:
            try:
                entries += self._publish(self._take(batch))
            except errors.Diverged as error:
                self._log.raise_alarm(DIVERGED, str(error))
                logger.error("alarm_raised", reason=DIVERGED, detail=str(error))
                break
            except errors.DocumentMissing:
                break  # the rest is read again later
        return entries

    def _take(self, batch: ProvenBatch) -> list[LogEntry]:
        """Apply one batch, and look for the committee files that it needs.

        Raises Diverged; DocumentMissing: a file is not at hand.
        """
        while True:
            try:
                applied = self._log.take(batch)
            except errors.DocumentMissing as error:
                wanted = from_hex(str(error.facts["committee"]), member="committee", size=32)
                if (found := self._files(wanted)) is None:
                    if self._missing != wanted:
                        logger.warning("document_missing", committee=to_hex(wanted))
                    self._missing = wanted
                    raise
                self._log.offer(found)
            else:
                self._missing = None
                return applied

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
            log = self._log
            if not self.has_read_all:
                self._ask_length(log.position.index)
                self._note_end()
            batches = self._ledger.poll(log.position, log.position_before, log.finality_rule)
        except errors.LedgerContradiction as error:
            self._raise_alarm(error)
            return []
        except errors.LedgerUnavailable as error:
            self._last_error = str(error)
            raise
        self._last_error, self._warned_at = "", None
        self._has_more = len(batches) >= BATCHES_PER_TRANSACTION
        if batches:
            self._newest = max(self._newest, batches[-1].index)
            self._pages_since_end += 1
            self._ask_length(batches[-1].index)
        else:
            self._note_read_all(self._monotonic())
            self._pages_since_end, self._end = 0, None
            self._newest = self._log.position.index
        return batches

    @property
    def _is_at_end(self) -> bool:
        """Whether another page would be short, by all that is known of the ledger's length."""
        return self.caught_up and not self._has_more and not self.behind

    def _ask_length(self, read: int) -> None:
        """Now and then ask a busy ledger for its newest index: it never has an empty page.

        At the start as well: an empty page may come only after the ledger has waited for a batch.
        """
        now, asked = self._monotonic(), self._asked_at
        is_needed = self._pages_since_end >= 2 or not self.has_read_all
        if not is_needed or not isinstance(self._ledger, IndexedLedger):
            return
        if self._end or (asked is not None and now - asked < LENGTH_INTERVAL_SECONDS):
            return
        self._asked_at = now
        with suppress(errors.LedgerUnavailable):
            index = self._ledger.last_finalized_index(read)
            self._newest = max(self._newest, index)
            # At the start, a ledger that ends before what was read has not been read to its end.
            if self.has_read_all or index >= self._log.position.index:
                self._end = now, index

    def _note_end(self) -> None:
        """Note if the log has reached the index that was newest when the ledger was asked."""
        if self._end and self._log.position.index >= self._end[1]:
            self._note_read_all(self._end[0])
            self._end = None

    def _note_read_all(self, at: float) -> None:
        if not self.caught_up:
            self._caught_up_at = self._monotonic()
        self._read_all_at = at

    def run(self, stop: threading.Event) -> None:
        """Follow the ledger until `stop` is set. During an outage of the ledger, keep trying."""
        while not stop.is_set():
            pause = POLL_PAUSE_SECONDS
            try:
                if self.step(stop) or self._has_more:
                    pause = self._gather_seconds if self._is_at_end else 0.0
                if self._missing is not None:
                    pause = ERROR_PAUSE_SECONDS
            except errors.LedgerUnavailable as error:
                self._warn(str(error))
                pause = ERROR_PAUSE_SECONDS
            except errors.LogDamaged:  # the log has raised its alarm, and nothing is applied
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

        The result is for people only: the alarm is raised even if this fails or takes too long.
        """
        position, after = Position(), -1
        ends = self._monotonic() + SEARCH_SECONDS
        chain: dict[int, str] = {}
        while page := self._log.entries(after):
            for entry in page:
                try:
                    position = self._read_on(position, entry.ledger_index, chain, ends)
                except errors.LedgerError as failure:
                    return f"the first contradicted entry is unknown ({failure})"
                if entry.chaining_hash and chain.get(entry.ledger_index) != entry.chaining_hash:
                    return f"entry {entry.position} is the first that the ledger contradicts"
            after = page[-1].position
        return "no entry is contradicted, only batches after the last entry"

    def _read_on(
        self, position: Position, index: int, chain: dict[int, str], ends: float
    ) -> Position:
        """Read up to batch `index` or the end of the ledger; store chaining hashes in `chain`."""
        while position.index < index:
            if self._monotonic() > ends:
                raise errors.LedgerUnavailable(f"not found within {SEARCH_SECONDS:.0f} s")
            chain.clear()
            batches = self._ledger.poll(position)
            if not batches:
                return position
            chain.update((batch.index, batch.position.chaining_hash) for batch in batches)
            position = batches[-1].position
        return position


def _transactions(batches: Sequence[ProvenBatch]) -> Iterator[Sequence[ProvenBatch]]:
    """Split batches into groups that take a short time to apply."""
    start = long = 0
    for end, batch in enumerate(batches):
        short = end - start - long
        if long == BATCHES_PER_TRANSACTION or short == SHORT_BATCHES_PER_TRANSACTION:
            yield batches[start:end]
            start, long = end, 0
        long += len(batch.body) >= SHORT_BATCH_CHARS
    if start < len(batches):
        yield batches[start:]


def _log_applied(entries: Sequence[LogEntry]) -> None:
    for entry in entries:
        claim = entry.event.claim.to_json()
        logger.info("event_applied", position=entry.position, claim=claim)
        if isinstance(entry.event.claim, HandoverClaim):
            logger.info("handover_applied", position=entry.position, epoch=claim["epoch"])
