"""Threads that share the work of one kernel."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

T = TypeVar("T")


class ThreadTeam:
    """`threads` threads for the time of a `with` block; a single one is the caller itself.

    Kernels release Python's lock, so that plain threads are enough; no process is forked.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ValueError("a team has at least one thread")
        self.threads = threads
        self._executor = ThreadPoolExecutor(threads) if threads > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.shutdown()

    def share(self, work: Callable[[int, int], T], count: int, grain: int = 1) -> list[T]:
        """`work(first, last)` for the parts of range(count), as many as there are threads.

        Nothing smaller than `grain` is divided. The results come in order.
        """
        parts = min(self.threads, max(1, count // grain))
        if self._executor is None or parts == 1:
            return [work(0, count)]
        bounds = [count * k // parts for k in range(parts + 1)]
        return list(self._executor.map(work, bounds[:-1], bounds[1:]))
