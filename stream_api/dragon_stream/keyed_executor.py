"""Runs jobs on threads: one at a time for each key, and again after a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Executor
from typing import Final

import structlog

from dragon.errors import ChunkDamaged, DiskError, DragonError

RETRY_SECONDS: Final = 1.0  # pause after a step that failed
DAMAGE_RETRY_SECONDS: Final = 60.0  # pause after a step that found damage on the disk

logger = structlog.stdlib.get_logger(__name__)


class KeyedExecutor:
    """Tracks which keys are running and which are delayed.

    A job returns the seconds to wait before its key may run again, or 0.
    """

    def __init__(
        self, monotonic: Callable[[], float], on_progress: Callable[[Hashable], None]
    ) -> None:
        """`on_progress` is called with the key of each job that returned 0."""
        self._monotonic = monotonic
        self._on_progress = on_progress
        self._lock = threading.Lock()  # guards everything below
        self._running: set[Hashable] = set()
        self._not_before: dict[Hashable, float] = {}

    def start(self, key: Hashable, pool: Executor, job: Callable[[], float]) -> None:
        """Run the job on a thread of `pool`, unless its key is running or delayed."""
        now = self._monotonic()
        with self._lock:
            if key in self._running or now < self._not_before.get(key, now):
                return
            self._running.add(key)
        pool.submit(self._run, key, job)

    def is_delayed(self, key: Hashable) -> bool:
        now = self._monotonic()
        return now < self._not_before.get(key, now)

    def delay(self, key: Hashable, seconds: float) -> None:
        """Run no job of this key for that long."""
        with self._lock:
            self._not_before[key] = self._monotonic() + seconds

    def forget(self, keys: Iterable[Hashable]) -> None:
        """Drop the delays of keys that will not be used again."""
        with self._lock:
            for key in keys:
                self._not_before.pop(key, None)

    def _run(self, key: Hashable, job: Callable[[], float]) -> None:
        pause = RETRY_SECONDS
        try:
            pause = job()
        except ChunkDamaged:
            pause = DAMAGE_RETRY_SECONDS  # reported where it was found
        except DiskError:
            pass  # `Disk` logs it, once a minute
        except DragonError as error:
            logger.warning("step_failed", step=str(key), reason=error.name, detail=str(error))
        except Exception:
            logger.exception("step_failed", step=str(key))
        finally:
            with self._lock:
                self._running.discard(key)
                self._not_before[key] = self._monotonic() + pause
                if not pause:
                    del self._not_before[key]
            if not pause:
                self._on_progress(key)
