"""The runtime of a service: clock, randomness, network and threads, injected from outside.

Each service is built around one `Runtime`. `main` uses `Runtime.real`; tests inject a simulated
clock, a seeded generator and a network in memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from dragon.net.http_client import HttpClient
from dragon.net.session import make_session
from dragon.net.target_network import NetworkFor, real_networks


@dataclass(frozen=True, slots=True)
class Runtime:
    http: HttpClient
    wall: Callable[[], float]  # Unix seconds
    monotonic: Callable[[], float]  # seconds since an arbitrary moment, never decreasing
    sleep: Callable[[float], object]  # takes seconds
    entropy: Callable[[int], bytes]  # returns that number of random bytes
    workers: Callable[[int], Executor]  # returns an executor with at most that number of threads
    processor: Callable[[], float] = time.thread_time  # processor seconds that this thread has used
    # How targets are reached.
    networks: NetworkFor = field(default_factory=real_networks)

    @classmethod
    def real(cls, ca: Path | None = None) -> Self:
        """Return the runtime of a real service.

        Args:
            ca: file with the certificate authorities to trust for HTTPS; None for the system's.

        Raises:
            SettingsError: `ca` cannot be used.
        """
        return cls(
            http=HttpClient(make_session(ca)),
            wall=time.time,
            monotonic=time.monotonic,
            sleep=time.sleep,
            entropy=os.urandom,
            workers=lambda most: ThreadPoolExecutor(max(1, most), thread_name_prefix="worker"),
            networks=real_networks(ca),
        )
