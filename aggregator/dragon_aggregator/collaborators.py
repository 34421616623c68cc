"""What an aggregator is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dragon.committee import Committee
from dragon.log.follow import Follower
from dragon.log.repository import Log
from dragon_aggregator.downtime import Downtime
from dragon_aggregator.outbox import Outbox, Submitter
from dragon_aggregator.watch import Watch
from dragon_aggregator.windows import Windows


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What an aggregator's app is built around."""

    committee: Committee
    watch: Watch
    outbox: Outbox
    submitter: Submitter
    downtime: Downtime
    windows: Windows
    log: Log
    follower: Follower
    wall: Callable[[], float]
