"""Pollers: one thread for each watched service, so that one that hangs delays no other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dragon_explorer.live.board import Board, Report
from dragon_explorer.live.sources import Source

PAUSE_SECONDS: Final = 2.0  # between two readings of a service, while somebody looks
IDLE_PAUSES: Final = 5  # between two readings, while nobody does
MAX_PAUSE_SECONDS: Final = 15.0  # for a service that does not answer


@dataclass(frozen=True)
class Poller:
    """Reads one service again and again, and puts its reports onto the board.

    Args:
        on_report: is called with each report, on the poller's thread.
        is_watched: whether somebody looks at the reports. While nobody does, they only feed the
            history, the metrics and the alerts.
    """

    source: Source
    board: Board
    on_report: Callable[[Report], None] = lambda _: None
    is_watched: Callable[[], bool] = lambda: True

    def step(self) -> bool:
        """Read the service once. Return whether it answered."""
        report = self.source.read(self.board.reports().get(self.source.name))
        self.board.put(report)
        self.on_report(report)
        return not report.readiness.error

    def run(self, stop: threading.Event) -> None:
        """Read the service until `stop` is set. The pause doubles while it does not answer."""
        pause = PAUSE_SECONDS
        while not stop.is_set():
            if self.step():
                pause = PAUSE_SECONDS
                self._rest(stop)
            else:
                pause = min(2 * pause, MAX_PAUSE_SECONDS)
                stop.wait(pause)

    def _rest(self, stop: threading.Event) -> None:
        """Wait; shorter as soon as somebody looks."""
        for _ in range(IDLE_PAUSES):
            if stop.wait(PAUSE_SECONDS) or self.is_watched():
                return
