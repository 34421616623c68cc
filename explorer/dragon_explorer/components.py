"""The parts of an explorer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dragon.log.follower import Follower
from dragon.log.store import Log
from dragon.node.certification import Certification
from dragon.storage.disk import Disk
from dragon_explorer.alerts.alerting import Alerting
from dragon_explorer.history.recorder import Recorder
from dragon_explorer.live.audience import Audience
from dragon_explorer.live.pollers import Pollers
from dragon_explorer.rendering import Renderer
from dragon_explorer.sources import Sources


@dataclass(frozen=True, slots=True)
class Components:
    """Everything that the app's routes use."""

    sources: Sources
    pollers: Pollers
    recorder: Recorder
    renderer: Renderer
    wall: Callable[[], float]
    certification: Certification
    audience: Audience
    disks: Sequence[Disk]  # under the files; usually one, several times
    alerting: Alerting | None = None  # None: the explorer has no alerts file

    @property
    def log(self) -> Log:
        return self.sources.log

    @property
    def follower(self) -> Follower:
        return self.sources.follower
