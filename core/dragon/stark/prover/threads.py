"""Threads that divide the work of one kernel."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

T = TypeVar("T")


class ThreadTeam:
    """A team of `threads` threads for a `with` block. A team of one runs on the calling thread.

    Kernels release Python's global lock, so threads run in parallel; no processes are needed.

    Raises ValueError: `threads` is less than 1.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"a team needs at least one thread, not {threads}")
        self.threads = threads
        self._executor = ThreadPoolExecutor(threads) if threads > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.shutdown()

    def share(self, work: Callable[[int, int], T], count: int, grain: int = 1) -> list[T]:
        """Run `work(first, last)` on parts of range(count), at most one part per thread.

        No part is smaller than `grain`, unless there is only one. Returns the results in order.
        """
        parts = min(self.threads, max(1, count // grain))
        if self._executor is None or parts == 1:
            return [work(0, count)]
        bounds = [count * k // parts for k in range(parts + 1)]
        return list(self._executor.map(work, bounds[:-1], bounds[1:]))
