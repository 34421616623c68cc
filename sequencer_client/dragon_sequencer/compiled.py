"""Compiled functions that a process uses in place of the plain ones, once they are loaded.

The results are the same; only the time differs. Loading takes time and memory too, so it begins
only after a service has verified several proofs within a few minutes. Until it ends, and without
the extra `prover`, the plain functions go on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:  # these modules use this one
    from dragon_sequencer.bn254 import G1
    from dragon_sequencer.pairing import Lines

PRODUCTS: Final = 32  # of pairings: in plain integers, they take as long as loading compiled code
PERIOD_SECONDS: Final = 300.0  # within which a service must compute these to load compiled code


class Compiled(Protocol):
    """The functions that take most of the time of a finality proof."""

    def is_one(self, pairs: Sequence[tuple[G1, Lines]]) -> bool:
        """What `pairing.is_one_plain` returns or raises."""

    def weighted_sum(self, points: Sequence[G1], factors: Sequence[int]) -> G1 | None:
        """What `weighted_sum.weighted_sum_plain` returns."""

    def curve_root(self, x: int) -> tuple[int, int]:
        """What `bn254.curve_root_plain` returns."""


class Demand:
    """Loads compiled functions in a thread of its own, once enough products were computed.

    Threads may share it.
    """

    def __init__(
        self, load: Callable[[], None], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Create it.

        Args:
            load: makes this process use compiled functions; called at most once.
            monotonic: returns seconds.
        """
        self._load = load
        self._monotonic = monotonic
        self._times = deque[float](maxlen=PRODUCTS)
        self._lock = threading.Lock()  # guards the times and the thread
        self._thread: threading.Thread | None = None

    def count(self) -> None:
        """Count one product. Returns at once, and never raises an error."""
        with self._lock:
            self._times.append(self._monotonic())
            if self._thread or len(self._times) < PRODUCTS:
                return
            if self._times[-1] - self._times[0] > PERIOD_SECONDS:
                return
            # Not a daemon: LLVM must not be at work while the process ends.
            thread = threading.Thread(target=self._load, name="load-compiled-pairings")
            try:
                thread.start()
            except RuntimeError:  # the system refuses a further thread, or the process ends
                self._times.clear()
            else:
                self._thread = thread

    def wait(self) -> None:
        """Wait until loading, if it has begun, has ended."""
        with self._lock:
            thread = self._thread
        if thread:
            thread.join()


_compiled: Compiled | None = None
_demand: Demand | None = None


def use(functions: Compiled | None) -> None:
    """Use these functions in this process from now on; None: the plain ones."""
    global _compiled  # noqa: PLW0603 - one choice for the process, which changes no result
    _compiled = functions


def in_use() -> Compiled | None:
    """The functions in use, or None."""
    return _compiled


def for_product() -> Compiled | None:
    """The functions in use for a product of pairings, or None. It is counted, see `Demand`."""
    if _compiled is None and _demand is not None:
        _demand.count()
    return _compiled


def load_on_demand(load: Callable[[], None]) -> None:
    """Call `load`, which should `use` functions, as soon as they are worth it; see `Demand`.

    Further calls in the same process change nothing.
    """
    global _demand  # noqa: PLW0603 - one for the process
    _demand = _demand or Demand(load)
