"""Penalties of streams whose windows were found invalid: they wait before the next one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

FIRST_PENALTY_SECONDS: Final = 1.0  # after an invalid window; each further one doubles it
MAX_PENALTY_SECONDS: Final = 256.0
MAX_PENALIZED_STREAMS: Final = 1024  # of each class; beyond, the oldest penalty is forgotten


@dataclass(frozen=True, slots=True)
class _Penalty:
    seconds: float
    until: float  # monotonic seconds


class Penalties:
    """The penalty of each stream, in memory.

    Known and new streams are kept apart: anyone can make new streams, and these must not push out
    the penalty of a known one.
    """

    def __init__(self, is_known: Callable[[bytes], bool], monotonic: Callable[[], float]) -> None:
        """`is_known`: whether a stream is known, by its id. `monotonic` returns seconds."""
        self._is_known = is_known
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards the next two lines
        self._known: OrderedDict[bytes, _Penalty] = OrderedDict()  # newest last
        self._new: OrderedDict[bytes, _Penalty] = OrderedDict()  # newest last

    def left(self, stream: bytes) -> float:
        """Return the seconds that the stream still has to wait, or 0."""
        with self._lock:
            penalty = self._of(stream).get(stream)
        return max(0.0, penalty.until - self._monotonic()) if penalty else 0.0

    def note(self, stream: bytes, *, valid: bool) -> None:
        """Note a verdict. An invalid window doubles the stream's penalty, a valid one ends it."""
        with self._lock:
            penalties = self._of(stream)
            before = penalties.pop(stream, None)
            if valid:
                return
            doubled = min(MAX_PENALTY_SECONDS, 2 * before.seconds) if before else 0.0
            seconds = max(FIRST_PENALTY_SECONDS, doubled)
            penalties[stream] = _Penalty(seconds, self._monotonic() + seconds)
            if len(penalties) > MAX_PENALIZED_STREAMS:
                penalties.popitem(last=False)

    def _of(self, stream: bytes) -> OrderedDict[bytes, _Penalty]:
        return self._known if self._is_known(stream) else self._new
