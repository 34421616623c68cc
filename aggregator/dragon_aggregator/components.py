"""What an aggregator is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dragon.log.follower import Follower
from dragon.log.store import Log
from dragon.protocol.committee import Committee
from dragon_aggregator.downtime import Downtime
from dragon_aggregator.monitor import Monitor
from dragon_aggregator.outbox import Outbox, Submitter
from dragon_aggregator.window_queue import WindowQueue


@dataclass(frozen=True, slots=True)
class Components:
    """What an aggregator's app is built around."""

    committee: Committee
    watch: Monitor
    outbox: Outbox
    submitter: Submitter
    downtime: Downtime
    windows: WindowQueue
    log: Log
    follower: Follower
    wall: Callable[[], float]
