"""Steps on threads: of each kind one at a time, again after a pause, never lost by an error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Executor
from typing import Final

import structlog

from dragon.errors import DragonError

AGAIN: Final = 1.0  # seconds after a step that failed

logger = structlog.stdlib.get_logger(__name__)


class Jobs:
    """What is being done, and what is to wait. A job returns after how many seconds it may be begun
    again."""

    def __init__(self, monotonic: Callable[[], float], done: Callable[[Hashable], None]) -> None:
        """`done`: told of each job after which something else may have to be done at once."""
        self._monotonic = monotonic
        self._done = done
        self._lock = threading.Lock()  # guards what follows
        self._busy: set[Hashable] = set()
        self._not_before: dict[Hashable, float] = {}

    def begin(self, key: Hashable, pool: Executor, job: Callable[[], float]) -> None:
        """Do it on a thread, unless it is being done or is to wait."""
        now = self._monotonic()
        with self._lock:
            if key in self._busy or now < self._not_before.get(key, now):
                return
            self._busy.add(key)
        pool.submit(self._run, key, job)

    def is_to_wait(self, key: Hashable) -> bool:
        now = self._monotonic()
        return now < self._not_before.get(key, now)

    def hold(self, key: Hashable, seconds: float) -> None:
        with self._lock:
            self._not_before[key] = self._monotonic() + seconds

    def forget(self, keys: Iterable[Hashable]) -> None:
        """Nothing more is to be done of these."""
        with self._lock:
            for key in keys:
                self._not_before.pop(key, None)

    def _run(self, key: Hashable, job: Callable[[], float]) -> None:
        pause = AGAIN
        try:
            pause = job()
        except DragonError as error:
            logger.warning("step_failed", step=str(key), reason=error.name, detail=str(error))
        except Exception:
            logger.exception("step_failed", step=str(key))
        finally:
            with self._lock:
                self._busy.discard(key)
                self._not_before[key] = self._monotonic() + pause
                if not pause:
                    del self._not_before[key]
            if not pause:
                self._done(key)
