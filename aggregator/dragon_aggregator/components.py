"""The parts of an aggregator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dragon.log.follower import Follower
from dragon.log.store import Log
from dragon.node.beat_book import BeatBook
from dragon.node.certification import Certification
from dragon.protocol.committee import Committee
from dragon.storage.disk import Disk
from dragon_aggregator.clock_check import ClockCheck
from dragon_aggregator.downtime import Downtime
from dragon_aggregator.handover_collector import HandoverCollector
from dragon_aggregator.monitor import Monitor
from dragon_aggregator.outbox import Outbox
from dragon_aggregator.periods import Periods
from dragon_aggregator.submitter import Submitter
from dragon_aggregator.window_queue import WindowQueue


@dataclass(frozen=True, slots=True)
class Components:
    """Everything that an aggregator's app and threads use; `main.assemble` builds it."""

    clock: ClockCheck
    monitor: Monitor
    outbox: Outbox
    submitter: Submitter
    downtime: Downtime
    periods: Periods
    window_queue: WindowQueue
    handovers: HandoverCollector
    beats: BeatBook
    log: Log
    follower: Follower
    certification: Certification
    wall: Callable[[], float]
    disks: Sequence[Disk]  # under the files; usually one, several times

    @property
    def committee(self) -> Committee:
        """The committee that holds now."""
        return self.log.committee
