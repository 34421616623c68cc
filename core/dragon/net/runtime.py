"""The runtime of a service: clock, randomness, network and threads, handed in from outside.

A service is assembled around one `Runtime`. `real` is used by `main`; the tests hand in a simulated
clock, a seeded generator, and a network that exists only in memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dragon.net.http_client import HttpClient
from dragon.net.session import make_session


@dataclass(frozen=True, slots=True)
class Runtime:
    http: HttpClient
    wall: Callable[[], float]  # Unix seconds
    monotonic: Callable[[], float]  # seconds from any origin, never going back
    sleep: Callable[[float], object]  # seconds
    entropy: Callable[[int], bytes]
    workers: Callable[[int], Executor]  # an executor of at most so many threads

    @classmethod
    def real(cls, ca: Path | None = None) -> Self:
        """`ca`: whom to believe over https, the system's authorities by default."""
        return cls(
            http=HttpClient(make_session(ca)),
            wall=time.time,
            monotonic=time.monotonic,
            sleep=time.sleep,
            entropy=os.urandom,
            workers=lambda most: ThreadPoolExecutor(max(1, most), thread_name_prefix="worker"),
        )
