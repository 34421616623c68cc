"""Delivers the messages of one route. Each route has a worker on a thread of its own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from dragon.errors import DiskError, LogDamaged
from dragon_explorer.alerts.channels import Attempt, Channel
from dragon_explorer.alerts.outbox import DELIVERED, FAILED, Delivery, Outbox

POLL_SECONDS: Final = 1.0  # between two looks into the outbox
FIRST_PAUSE_SECONDS: Final = 5.0  # after the first failed attempt; doubles with each
MAX_PAUSE_SECONDS: Final = 600.0
GIVE_UP_SECONDS: Final = 3 * 86_400  # after which a message is no longer attempted
OWN_PAUSE_ATTEMPTS: Final = 5  # failed attempts after which a message no longer holds up others
JITTER: Final = 0.2  # share by which a pause is lengthened at random
ATTEMPT_FAILED: Final = "attempt_failed"

logger = structlog.stdlib.get_logger(__name__)


class Worker:
    """Sends the messages of one route in their order, and again until they are accepted.

    A receiver that fails pauses the route. A message that the receiver rejects waits alone.
    """

    def __init__(
        self,
        name: str,
        channel: Channel,
        outbox: Outbox,
        wall: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self.name = name
        self._channel = channel
        self._outbox = outbox
        self._wall = wall
        self._entropy = entropy
        self._paused_at = 0.0  # before that time the clock was set back, and the pause has ended
        self._paused_until = 0.0
        self._failures = 0  # in a row
        self._unnoted: Delivery | None = None  # delivered, but not noted: the disk was full
        self._counts: Counter[str] = Counter()
        self.last_error = ""  # why the last attempt failed; empty if it did not
        self.delivered_at: float | None = None  # Unix seconds

    @property
    def counts(self) -> Mapping[str, int]:
        """How many attempts ended how since the start."""
        return dict(self._counts)

    @property
    def paused_until(self) -> float:
        """Until when nothing is sent (Unix seconds)."""
        return self._paused_until

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set."""
        while not stop.is_set():
            try:
                worked = self.step()
            except (DiskError, LogDamaged):  # the disk's own log says so
                worked = False
            if not worked:
                stop.wait(POLL_SECONDS)

    def step(self) -> bool:
        """Attempt the next delivery, if one is due. Returns whether there was one.

        Raises DiskError, LogDamaged: the outcome could not be noted; it is noted later.
        """
        now = self._wall()
        if self._unnoted is not None:
            self._note_delivered(self._unnoted)
        if self._paused_at <= now < self._paused_until:
            return False
        delivery = self._outbox.due(self.name, now)
        if delivery is None:
            return False
        self._conclude(delivery, self._channel.send(delivery.message))
        return True

    def _conclude(self, delivery: Delivery, attempt: Attempt) -> None:
        now = self._wall()
        self.last_error = attempt.error
        if not attempt.error:
            self._failures, self._paused_until, self.delivered_at = 0, 0.0, now
            self._counts[DELIVERED] += 1
            self._note_delivered(delivery)
            return
        self._counts[ATTEMPT_FAILED] += 1
        logger.warning(
            "alert_not_delivered",
            route=self.name,
            message_id=delivery.message.id,
            attempts=delivery.attempts + 1,
            detail=attempt.error,
        )
        # Several attempts, too: after a jump of the clock a new message seems old.
        is_old = now - delivery.created >= GIVE_UP_SECONDS
        if attempt.is_final or (is_old and delivery.attempts + 1 >= OWN_PAUSE_ATTEMPTS):
            self._counts[FAILED] += 1
            self._outbox.note_failed(delivery, now, attempt.error)
            return
        self._postpone(delivery, attempt, now)

    def _postpone(self, delivery: Delivery, attempt: Attempt, now: float) -> None:
        own = attempt.is_rejected or delivery.attempts + 1 >= OWN_PAUSE_ATTEMPTS
        not_before = now
        if own:
            not_before = now + self._pause(delivery.attempts)
        if not attempt.is_rejected:
            self._failures += 1
            pause = max(self._pause(self._failures - 1), attempt.retry_after or 0.0)
            self._paused_at, self._paused_until = now, now + pause
        self._outbox.postpone(delivery, not_before, attempt.error, own_pause=attempt.is_rejected)

    def _pause(self, failures: int) -> float:
        """Seconds until the next attempt, after this number of earlier failures."""
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 16), MAX_PAUSE_SECONDS)
        share = int.from_bytes(self._entropy(2), "big") / 65_536
        return float(pause * (1 + JITTER * share))

    def _note_delivered(self, delivery: Delivery) -> None:
        """Note a delivery; if that fails, before anything else is sent."""
        self._unnoted = delivery
        self._outbox.note_delivered(delivery, self._wall())
        self._unnoted = None
