"""Checking the whole file of a log in the background, after a start from its snapshot.

A start without a snapshot reads and checks all entries. A start from a snapshot relies on entries
and blocks that were written earlier. This check does for them what the other start does: SQLite
checks its structures, every entry is hashed and applied again, and what follows is compared with
the blocks and the snapshot. Damage raises the alarm `log_damaged`, as at the start.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from dragon import errors
from dragon.log import block_table, committee_table, entry_table, snapshot
from dragon.log.block_table import Blocks
from dragon.log.derived import Derived
from dragon.log.derived_tables import check_counts
from dragon.log.snapshot import Snapshot
from dragon.protocol.committee import Committee
from dragon.storage.damage import check_structure
from dragon.storage.database import Database

PAGE_ENTRIES: Final = 64  # that are checked without a pause: about 4 ms
BLOCKS_EVERY: Final = 4096  # entries after which full blocks are compared and forgotten
# Pause after a page, as a multiple of the time that it took: the service has its work to do.
IDLE_FACTOR: Final = 4.0
_STEPS_BETWEEN_LOOKS: Final = 100_000  # of SQLite, between two looks at `stop`

logger = structlog.stdlib.get_logger(__name__)


class FileCheck:
    """The check of the entries that a start has relied on. It runs once."""

    def __init__(
        self,
        database: Database,
        tables: Sequence[str],
        relied_on: Snapshot | None,
        on_damage: Callable[[errors.LogDamaged], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        tables: those whose structure the start has not checked.
        relied_on: the snapshot of the start; None: it has checked everything.
        on_damage: called with the damage that was found, before `run` returns.
        monotonic: clock in seconds; it only decides how long the check pauses.
        """
        self._database = database
        self._tables = tables
        self._on_damage = on_damage
        self._monotonic = monotonic
        self._size = relied_on.size if relied_on else 0
        self._digest = relied_on.digest if relied_on else b""
        self._checked = 0
        self._is_finished = relied_on is None

    @property
    def is_finished(self) -> bool:
        """Whether all that this start relied on is checked. It stays False if damage was found."""
        return self._is_finished

    @property
    def entries_left(self) -> int:
        """Number of entries that are not checked yet."""
        return self._size - self._checked

    def run(self, stop: threading.Event) -> None:
        """Check everything, unless `stop` is set before. Then the next start begins again.

        Raises DiskError: the disk fails; it may be called again.
        """
        if self._is_finished:
            return
        begun = self._monotonic()
        try:
            if self._check(stop):
                self._is_finished = True
                seconds = round(self._monotonic() - begun)
                logger.info("log_checked", size=self._size, seconds=seconds)
        except errors.LogDamaged as error:
            self._on_damage(error)

    def _check(self, stop: threading.Event) -> bool:
        """Return whether the check has come to its end. Raises LogDamaged."""
        if not self._check_tables(stop):
            return False
        with self._database.read() as connection:
            committees = [each for each, _ in committee_table.read_all(connection)]
        blocks = Blocks(self._database)
        derived, next_blocks = Derived.of(committees[0], blocks), BLOCKS_EVERY
        self._checked = 0
        while derived.state.size < self._size:
            begun = self._monotonic()
            self._apply_page(derived, committees)
            if derived.state.size >= next_blocks:
                next_blocks += BLOCKS_EVERY
                self._compare_blocks(derived, blocks)
            self._checked = derived.state.size
            if stop.wait(IDLE_FACTOR * (self._monotonic() - begun)):
                return False
        self._compare_blocks(derived, blocks)
        derived.check_roots()
        if snapshot.encode(derived).digest != self._digest:
            raise errors.LogDamaged("the snapshot differs from what the entries say")
        return True

    def _check_tables(self, stop: threading.Event) -> bool:
        """Let SQLite check its structures; return False if `stop` was set. Raises LogDamaged."""
        with self._database.read() as connection, _interruptible(connection, stop):
            check_structure(connection, self._database.path, self._tables)
            check_counts(connection.exec_driver_sql)
        return not stop.is_set()

    def _apply_page(self, derived: Derived, committees: Sequence[Committee]) -> None:
        limit = min(PAGE_ENTRIES, self._size - derived.state.size)
        with self._database.read() as connection:
            page = list(entry_table.read_after(connection, derived.state.size - 1, limit))
        if not page:
            size = derived.state.size
            raise errors.LogDamaged(f"entry {size} is missing", position=size)
        for entry in page:
            derived.apply(entry, committees)

    def _compare_blocks(self, derived: Derived, blocks: Blocks) -> None:
        """Compare the full blocks with those in the file. Raises LogDamaged."""
        derived.downtime.extend(derived.state)
        with self._database.read() as connection:
            for series, number, content in derived.new_blocks():
                if block_table.read(connection, series, number) != content:
                    message = f"block {number} of {series} differs from what the entries say"
                    raise errors.LogDamaged(message)
        derived.forget_blocks(blocks)


@contextmanager
def _interruptible(connection: Connection, stop: threading.Event) -> Iterator[None]:
    """End a long statement of SQLite, and with it the block, when `stop` is set."""
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(stop.is_set, _STEPS_BETWEEN_LOOKS)
    try:
        yield
    except (sqlite3.OperationalError, OperationalError):  # of the driver's cursor, or the library
        if not stop.is_set():
            raise
    finally:
        driver.set_progress_handler(None, 0)
