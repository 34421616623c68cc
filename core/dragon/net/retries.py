"""Retries after temporary failures: jittered pauses, and an end to the patience.

An *outage* begins with the first failure and ends with the next progress. It is reported once,
however many attempts it takes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from dragon.errors import PeerError, Unavailable, Unreachable

FIRST_PAUSE_SECONDS: Final = 0.5
MAX_PAUSE_SECONDS: Final = 10.0
MAX_RETRY_AFTER_SECONDS: Final = 60.0  # of a service's `Retry-After` that is honoured
STALL_NOTICE_SECONDS: Final = 10.0  # without progress on an open connection, before it is reported
PATIENCE_SECONDS: Final = 600.0  # default limit of an outage

T = TypeVar("T")


def is_temporary(error: PeerError) -> bool:
    """Return whether the same request may succeed later.

    A refusal is final, and so is a certificate that does not verify.
    """
    if isinstance(error, Unreachable):
        return error.facts.get("reason") != "tls"
    return isinstance(error, Unavailable)


@dataclass
class Retries:
    """Repeats what failed for a temporary reason, until an outage exceeds the patience.

    Args:
        patience_seconds: the longest outage; None for no limit, 0 for a single attempt.
        on_outage: called once per outage, with the first error.
        on_recovery: called at the end of each outage.
        monotonic: a clock in seconds.
        sleep: waits for a number of seconds.
        draw: returns a random number from 0 to 1.
    """

    patience_seconds: float | None = PATIENCE_SECONDS
    on_outage: Callable[[PeerError], object] = lambda _error: None
    on_recovery: Callable[[], object] = lambda: None
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    draw: Callable[[], float] = random.random
    _since: float | None = field(default=None, init=False)  # when the outage began
    _reported: bool = field(default=False, init=False)
    _attempts: int = field(default=0, init=False)  # that failed in this outage

    def call(self, attempt: Callable[[], T]) -> T:
        """Return the result of `attempt`, repeating it after temporary failures.

        Raises the error of `attempt` if it is final or exceeds the patience.
        """
        while True:
            try:
                result = attempt()
            except PeerError as error:
                self.failed(error)
            else:
                self.progress()
                return result

    def failed(self, error: PeerError) -> None:
        """Pause before the next attempt. Raises `error` if it is final or exceeds the patience."""
        outage = self._outage_seconds()
        if not is_temporary(error):
            raise error
        if self.patience_seconds is not None and outage >= self.patience_seconds:
            raise error
        self._report(error)
        self.sleep(self._pause(error))
        self._attempts += 1

    def stalled(self, error: PeerError) -> None:
        """Note that an open connection makes no progress.

        Raises `error` if that exceeds the patience, but never before STALL_NOTICE_SECONDS.
        """
        outage = self._outage_seconds()
        limit = self.patience_seconds
        if limit is not None and outage >= max(limit, STALL_NOTICE_SECONDS):
            raise error
        if outage >= STALL_NOTICE_SECONDS:
            self._report(error)

    def progress(self) -> None:
        """Note progress, which ends an outage."""
        reported = self._reported
        self._since, self._reported, self._attempts = None, False, 0
        if reported:
            self.on_recovery()

    def _outage_seconds(self) -> float:
        now = self.monotonic()
        if self._since is None:
            self._since = now
        return now - self._since

    def _report(self, error: PeerError) -> None:
        if not self._reported:
            self._reported = True
            self.on_outage(error)

    def _pause(self, error: PeerError) -> float:
        """The seconds until the next attempt: from half to all of a doubling pause.

        The random part keeps the clients of one service from coming back at the same moment.
        """
        longest = min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * (1 << min(self._attempts, 16)))
        pause = longest * (0.5 + self.draw() / 2)
        asked = error.facts.get("retry_after")
        if not isinstance(asked, int):
            return pause
        return min(MAX_RETRY_AFTER_SECONDS, asked) + pause
