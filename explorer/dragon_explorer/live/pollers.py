"""The pollers of all services that are watched now. They come and go with the committee."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from dragon_explorer.live.board import Board, Report
from dragon_explorer.live.poller import Poller
from dragon_explorer.live.sources import Source

LOOK_SECONDS: Final = 1.0  # between two looks at which services are to be watched
END_SECONDS: Final = 5.0  # that the end of the explorer waits for a request


@dataclass
class _Running:
    """A poller with its thread, which ends when the service is not watched any more."""

    poller: Poller
    ended: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def start(self) -> None:
        if self.thread is None:
            run, name = self.poller.run, self.poller.source.name
            self.thread = threading.Thread(target=run, args=(self.ended,), name=name, daemon=True)
            self.thread.start()


class Pollers:
    """One poller for each watched service.

    Only one thread may call `current` and `run`.

    Args:
        watched: returns the services to watch now.
        on_report: is called with each report.
        is_watched: whether somebody looks at the reports.
    """

    def __init__(
        self,
        watched: Callable[[], Iterable[Source]],
        board: Board,
        on_report: Callable[[Report], None],
        is_watched: Callable[[], bool],
    ) -> None:
        self._watched = watched
        self._board = board
        self._on_report = on_report
        self._is_watched = is_watched
        self._running: dict[tuple[str, str], _Running] = {}  # by name and URL of the service

    def current(self) -> list[Poller]:
        """Return a poller for each service to watch; the others end, and their reports go."""
        wanted = {(each.name, each.url): each for each in self._watched()}
        for key in self._running.keys() - wanted.keys():
            self._running.pop(key).ended.set()
        for key in wanted.keys() - self._running.keys():
            made = Poller(wanted[key], self._board, self._on_report, self._is_watched)
            self._running[key] = _Running(made)
        # A poller that has just ended may still have put a report.
        self._board.keep({name for name, _ in wanted})
        return [self._running[key].poller for key in wanted]

    def run(self, stop: threading.Event) -> None:
        """Keep a thread for each poller until `stop` is set."""
        while not stop.is_set():
            self.current()
            for each in self._running.values():
                each.start()
            stop.wait(LOOK_SECONDS)
        threads = [each.thread for each in self._running.values() if each.thread]
        for each in self._running.values():
            each.ended.set()
        for thread in threads:
            thread.join(END_SECONDS)
